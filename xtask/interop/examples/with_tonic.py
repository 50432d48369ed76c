"""The example `with_tonic` of ws-tower: gRPC and WebSockets on one port, with a client of each."""

import grpc
from cases import ADDRESS, connect, run, same
from http2 import TEXT, http2

# `status: SERVING` of grpc.health.v1, whose request is empty.
SERVING = b"\x08\x01"
CHECK = "/grpc.health.v1.Health/Check"


async def health():
    async with grpc.aio.insecure_channel(ADDRESS) as channel:
        return await channel.unary_unary(CHECK)(b"")


async def grpc_answers():
    same(await health(), SERVING)


async def unknown_service_is_told():
    async with grpc.aio.insecure_channel(ADDRESS) as channel:
        try:
            await channel.unary_unary("/no.Such/Method")(b"")
            raise AssertionError("it was answered")
        except grpc.aio.AioRpcError as error:
            same(error.code(), grpc.StatusCode.UNIMPLEMENTED)


async def websocket_goes_on_beside_grpc():
    async with connect("/echo") as ws:
        for n in range(10):
            await ws.send(f"{n}")
            same(await health(), SERVING)
            same(await ws.recv(), f"{n}")


async def both_on_one_connection_of_http2():
    async with http2(ADDRESS) as http:
        ws = await http.open()
        for _ in range(10):
            await ws.echoes(TEXT, b"hello")
            rpc = http.request(
                [
                    (":method", "POST"),
                    (":scheme", "http"),
                    (":path", CHECK),
                    (":authority", ADDRESS),
                    ("content-type", "application/grpc"),
                    ("te", "trailers"),
                ]
            )
            # Not compressed, and of length 0.
            await rpc.send(bytes(5))
            rpc.end()
            await http.until(lambda rpc=rpc: rpc.ended)
            same(bytes(rpc.input), b"\0\0\0\0\x02" + SERVING)
        await ws.echoes(TEXT, b"still here")


run(
    grpc_answers,
    unknown_service_is_told,
    websocket_goes_on_beside_grpc,
    both_on_one_connection_of_http2,
)
