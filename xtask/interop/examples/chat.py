"""The example `chat`: what one writes, everyone reads."""

from cases import check, connect, run


async def everyone_reads_what_one_writes():
    async with connect("/chat") as ann:
        came = await ann.recv()
        check(came.startswith("guest ") and came.endswith(" came"), came)
        name = came.removesuffix(" came")
        async with connect("/chat") as bob:
            for client in (ann, bob):
                await client.recv()
            await ann.send("hello")
            for client in (ann, bob):
                check(await client.recv() == f"{name}: hello", "another text came")


async def everyone_reads_that_one_left():
    async with connect("/chat") as ann:
        await ann.recv()
        async with connect("/chat"):
            await ann.recv()
        left = await ann.recv()
        check(left.endswith(" left"), left)


run(everyone_reads_what_one_writes, everyone_reads_that_one_left)
