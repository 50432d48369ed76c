//! Models of the hand-over between a connection's driver and other tasks, in every interleaving that
//! shuttle finds.
//!
//! ```sh
//! RUSTFLAGS="--cfg shuttle" cargo test -p ws-server --lib --target-dir target/shuttle
//! ```
//!
//! The models run the real [`Outbox`] with a stand-in for the driver, which uses it as the real one
//! does, and a list for a socket. A task that is never woken ends a model as a deadlock.

pub(crate) mod harness;

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::{Context, Waker},
};

use shuttle::{check_random, future, thread};
use ws_core::{Broadcast, CloseCode, Message, MessageKind, extension::Compression};

use self::harness::{Driver, ORDERS, Socket, outbox, queued, receive};
use super::{Dropped, Outbox, SenderId, post::Post};
use crate::{Limits, SendError, SlowConsumer};

/// Room for one message, so that frequent senders must wait.
fn narrow() -> Limits {
    Limits { send_buffer: 1, max_send_buffer: 1, ..Limits::default() }
}

fn post(text: &'static str, slow_consumer: SlowConsumer) -> Post {
    let broadcast = Broadcast::with_compression(Message::from(text), Compression::Auto);
    Post { broadcast, topic: None, key: None, slow_consumer, waited: false }
}

#[test]
fn messages_of_several_senders_arrive_each_in_order() {
    check_random(
        || {
            let (outbox, socket) = (outbox(narrow()), Arc::default());
            let driver = future::spawn(Driver::new(&outbox, &socket).run());
            let senders: Vec<_> = ["a", "b"]
                .into_iter()
                .map(|name| {
                    let outbox = Arc::clone(&outbox);
                    thread::spawn(move || {
                        future::block_on(async {
                            for n in 0..3 {
                                outbox.send(&mut queued(&format!("{name}{n}")), 0).await.unwrap();
                            }
                        });
                    })
                })
                .collect();
            for sender in senders {
                sender.join().unwrap();
            }
            outbox.close(CloseCode::NORMAL, "").unwrap();
            future::block_on(driver).unwrap();
            let written = socket.written();
            assert_eq!(written.len(), 7, "{written:?}");
            for name in ["a", "b"] {
                let of_one: Vec<_> = written.iter().filter(|text| text.starts_with(name)).collect();
                assert_eq!(of_one, [&format!("{name}0"), &format!("{name}1"), &format!("{name}2")]);
            }
            assert_eq!(written[6], "close 1000");
        },
        ORDERS,
    );
}

#[test]
fn socket_that_is_full_for_a_while_delays_and_loses_nothing() {
    check_random(
        || {
            let (outbox, socket) = (outbox(narrow()), Arc::new(Socket::default()));
            socket.full.store(true, Ordering::SeqCst);
            let driver = future::spawn(Driver::new(&outbox, &socket).run());
            let sender = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || {
                    future::block_on(async {
                        for n in 0..3 {
                            outbox.send(&mut queued(&format!("{n}")), 0).await.unwrap();
                        }
                        outbox.flush().await.unwrap();
                    });
                })
            };
            socket.empty();
            sender.join().unwrap();
            assert_eq!(socket.written(), ["0", "1", "2"]);
            outbox.close(CloseCode::NORMAL, "").unwrap();
            future::block_on(driver).unwrap();
        },
        ORDERS,
    );
}

#[test]
fn close_ends_whoever_waits_for_room_and_nothing_follows_it() {
    check_random(
        || {
            let (outbox, socket) = (outbox(narrow()), Arc::new(Socket::default()));
            let driver = future::spawn(Driver::new(&outbox, &socket).run());
            let sender = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || {
                    future::block_on(async {
                        let mut sent = 0;
                        while outbox.send(&mut queued("message"), 0).await.is_ok() {
                            sent += 1;
                            assert!(sent < 100, "it is closed at last");
                        }
                        assert_eq!(outbox.ready(7).await, Err(SendError::Closed));
                        sent
                    })
                })
            };
            let closer = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || outbox.close(CloseCode::GOING_AWAY, "").unwrap())
            };
            closer.join().unwrap();
            let sent = sender.join().unwrap();
            future::block_on(driver).unwrap();
            let written = socket.written();
            assert_eq!(written.len(), sent + 1, "{written:?}");
            assert_eq!(written[sent], "close 1001");
            future::block_on(outbox.closed());
        },
        ORDERS,
    );
}

/// A writer and another sender share an outbox with room for one message, while a third publishes. The
/// pieces stay together, and nobody waits forever.
#[test]
fn others_wait_for_the_end_of_a_message_in_pieces() {
    check_random(
        || {
            let (outbox, socket) = (outbox(narrow()), Arc::default());
            let driver = future::spawn(Driver::new(&outbox, &socket).run());
            let writer = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || {
                    future::block_on(async {
                        let start = (MessageKind::Binary, Compression::Auto);
                        let mut turn = outbox.wait_to_stream(3).unwrap();
                        poll_fn(|cx| turn.poll(&outbox, cx)).await.unwrap();
                        for piece in ["one", "two"] {
                            let mut piece = Some(piece.into());
                            poll_fn(|cx| outbox.poll_piece(turn.number(), start, &mut piece, cx))
                                .await
                                .unwrap()
                                .unwrap();
                        }
                        poll_fn(|cx| outbox.poll_end(turn.number(), start, cx))
                            .await
                            .unwrap()
                            .unwrap();
                    });
                })
            };
            let sender = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || {
                    future::block_on(outbox.send(&mut queued("whole"), 0)).unwrap();
                })
            };
            outbox.offer(&post("news", SlowConsumer::DropNewest), &mut Dropped::default());
            writer.join().unwrap();
            sender.join().unwrap();
            outbox.close(CloseCode::NORMAL, "").unwrap();
            future::block_on(driver).unwrap();
            let written = socket.written();
            let start = written.iter().position(|text| text == "start").unwrap();
            assert_eq!(written[start..start + 4], ["start", "one", "two", "end"], "{written:?}");
            assert!(written.contains(&"whole".to_owned()), "{written:?}");
            assert_eq!(written.last().unwrap(), "close 1000");
        },
        ORDERS,
    );
}

/// A writer that is dropped ends the connection if its message has begun, and gives way if not.
#[test]
fn writer_that_gives_up_holds_nobody_up() {
    give_up(false);
    give_up(true);
}

fn give_up(begins: bool) {
    check_random(
        move || {
            let (outbox, socket) = (outbox(narrow()), Arc::default());
            let driver = future::spawn(Driver::new(&outbox, &socket).run());
            let writer = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || {
                    future::block_on(async {
                        let mut turn = outbox.wait_to_stream(3).unwrap();
                        poll_fn(|cx| turn.poll(&outbox, cx)).await.unwrap();
                        if begins {
                            let mut piece = Some("one".into());
                            let start = (MessageKind::Binary, Compression::Auto);
                            poll_fn(|cx| outbox.poll_piece(turn.number(), start, &mut piece, cx))
                                .await
                                .unwrap()
                                .unwrap();
                        }
                        outbox.give_up_message(turn.number());
                    });
                })
            };
            let sender = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || future::block_on(outbox.send(&mut queued("whole"), 0)))
            };
            writer.join().unwrap();
            let sent = sender.join().unwrap();
            assert!(begins || sent.is_ok());
            outbox.close(CloseCode::NORMAL, "").ok();
            future::block_on(driver).unwrap();
            let written = socket.written();
            assert_eq!(written.contains(&"whole".to_owned()), sent.is_ok(), "{written:?}");
            let close = if begins { "close 1011" } else { "close 1000" };
            assert_eq!(written.last().unwrap(), close);
        },
        ORDERS,
    );
}

/// Two threads publish twice each to an outbox with room for one message. Returns the messages
/// written, the end of the output, and the number dropped.
fn publish_four(policy: SlowConsumer) -> (Vec<String>, String, usize) {
    let (outbox, socket) = (outbox(narrow()), Arc::new(Socket::default()));
    let driver = future::spawn(Driver::new(&outbox, &socket).run());
    let publishers: Vec<_> = (0..2)
        .map(|_| {
            let outbox = Arc::clone(&outbox);
            thread::spawn(move || {
                let mut dropped = Dropped::default();
                for _ in 0..2 {
                    let to_many = post("to many", policy);
                    outbox.offer(&to_many, &mut dropped);
                }
                dropped.count
            })
        })
        .collect();
    let dropped: usize = publishers.into_iter().map(|one| one.join().unwrap()).sum();
    assert_eq!(outbox.dropped() as usize, dropped);
    // The outbox may be closing already, because the client does not keep up.
    let closed = outbox.close(CloseCode::NORMAL, "").is_err();
    future::block_on(driver).unwrap();
    let mut written = socket.written();
    let end = written.pop().unwrap();
    assert_eq!(end, if closed { "close 1013" } else { "close 1000" });
    (written, end, dropped)
}

#[test]
fn messages_to_many_are_written_or_counted_as_dropped() {
    check_random(
        || {
            let (written, end, dropped) = publish_four(SlowConsumer::Close);
            assert_eq!(end == "close 1013", dropped > 0);
            if dropped > 0 {
                assert!(written.len() + dropped <= 4, "{written:?} and {dropped} dropped");
            } else {
                assert_eq!(written.len(), 4);
            }
        },
        ORDERS,
    );
}

#[test]
fn each_message_to_many_is_written_or_dropped_by_its_policy() {
    for policy in [SlowConsumer::DropOldest, SlowConsumer::DropNewest] {
        check_random(
            move || {
                let (written, end, dropped) = publish_four(policy);
                assert_eq!((end.as_str(), written.len() + dropped), ("close 1000", 4));
            },
            ORDERS,
        );
    }
}

#[test]
fn receiver_in_another_task_takes_everything_and_then_the_end() {
    check_random(
        || {
            let (outbox, socket) = (outbox(Limits::default()), Arc::new(Socket::default()));
            let mut driver = Driver::new(&outbox, &socket);
            driver.received.extend([Message::from("one"), Message::from("two")]);
            let driver = future::spawn(driver.run());
            let receiver = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || {
                    let (mut all, mut inbox) = (Vec::new(), VecDeque::new());
                    while all.len() < 2 {
                        assert!(future::block_on(receive(&outbox, &mut inbox)));
                        all.extend(inbox.drain(..));
                    }
                    all
                })
            };
            // Nothing else wakes the driver before that.
            assert_eq!(receiver.join().unwrap(), ["one".into(), "two".into()]);
            outbox.close(CloseCode::NORMAL, "").unwrap();
            future::block_on(driver).unwrap();
            assert!(!future::block_on(receive(&outbox, &mut VecDeque::new())));
        },
        ORDERS,
    );
}

#[test]
fn receiver_that_goes_closes_the_connection_behind_what_was_sent() {
    check_random(
        || {
            let (outbox, socket) = (outbox(Limits::default()), Arc::new(Socket::default()));
            let driver = future::spawn(Driver::new(&outbox, &socket).run());
            let receiver = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || {
                    future::block_on(outbox.send(&mut queued("last words"), 0)).unwrap();
                    outbox.receiver_gone();
                })
            };
            receiver.join().unwrap();
            future::block_on(driver).unwrap();
            assert_eq!(socket.written(), ["last words", "close 1000"]);
        },
        ORDERS,
    );
}

/// A thread that sends `texts` one after the other.
fn sender(outbox: &Arc<Outbox>, texts: &'static [&'static str]) -> thread::JoinHandle<()> {
    let outbox = Arc::clone(outbox);
    thread::spawn(move || {
        future::block_on(async {
            for text in texts {
                outbox.send(&mut queued(text), 0).await.unwrap();
            }
        });
    })
}

/// Room for a few small messages.
fn few() -> Limits {
    Limits { send_buffer: 150, max_send_buffer: 200, ..Limits::default() }
}

const LARGE: &str = "large: more than there is room for, which is taken where nothing else waits; \
    it has to be longer than all that may be queued in a connection at a time, and so this goes on \
    for a while, until there are two hundred octets and a few more of them in this one message";

#[test]
fn large_message_among_small_ones_and_messages_to_many_is_sent() {
    check_random(
        || {
            let (outbox, socket) = (outbox(few()), Arc::new(Socket::default()));
            let driver = future::spawn(Driver::new(&outbox, &socket).run());
            let senders = [
                sender(&outbox, &["a", "b", "c"]),
                sender(&outbox, &[LARGE]),
                sender(&outbox, &["d"]),
            ];
            let mut dropped = Dropped::default();
            for _ in 0..2 {
                let policy = SlowConsumer::DropNewest;
                outbox.offer(&post("to many", policy), &mut dropped);
            }
            for sender in senders {
                sender.join().unwrap();
            }
            outbox.close(CloseCode::NORMAL, "").unwrap();
            future::block_on(driver).unwrap();
            let written = socket.written();
            assert_eq!(written.len() + dropped.count, 8, "{written:?}");
            assert!(written.iter().any(|text| text == LARGE));
            assert!(outbox.state().waiters.is_none(), "nothing is left");
        },
        ORDERS,
    );
}

#[test]
fn sends_that_are_dropped_where_they_wait_hold_up_nobody() {
    check_random(
        || {
            let (outbox, socket) = (outbox(narrow()), Arc::new(Socket::default()));
            let driver = future::spawn(Driver::new(&outbox, &socket).run());
            let impatient = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || {
                    let mut cx = Context::from_waker(Waker::noop());
                    for text in ["x", LARGE, "y"] {
                        let mut message = queued(text);
                        let mut sending = Box::pin(outbox.send(&mut message, 0));
                        let _ = sending.as_mut().poll(&mut cx);
                        thread::yield_now();
                        drop(sending);
                        let mut flushing = Box::pin(outbox.flush());
                        let _ = flushing.as_mut().poll(&mut cx);
                        let mut ready = Box::pin(outbox.ready(7));
                        let _ = ready.as_mut().poll(&mut cx);
                    }
                    outbox.forget_sender(7);
                })
            };
            let senders = [sender(&outbox, &["a", "b"]), sender(&outbox, &["c", LARGE])];
            impatient.join().unwrap();
            for sender in senders {
                sender.join().unwrap();
            }
            outbox.close(CloseCode::NORMAL, "").unwrap();
            future::block_on(driver).unwrap();
            let written = socket.written();
            let own = |text: &str| written.iter().filter(|one| *one == text).count();
            assert_eq!((own("a"), own("b"), own("c")), (1, 1, 1));
            assert!((1..=2).contains(&own(LARGE)));
            assert!(outbox.state().waiters.is_none(), "nothing is left");
        },
        ORDERS,
    );
}

#[test]
fn turn_that_was_waited_for_is_kept_until_it_is_used() {
    check_random(
        || {
            let (outbox, socket) = (outbox(few()), Arc::new(Socket::default()));
            let driver = future::spawn(Driver::new(&outbox, &socket).run());
            let polite = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || {
                    let id = SenderId::default();
                    let mut message = Message::from(LARGE);
                    let mut rounds = 0;
                    while let Err(refused) = outbox.try_send(message, Compression::Auto, Some(&id))
                    {
                        message = refused.message;
                        future::block_on(outbox.ready(id.get_or_new())).unwrap();
                        rounds += 1;
                        assert!(rounds < 2, "it has the turn");
                    }
                })
            };
            let senders = [sender(&outbox, &["a", "b", "c"]), sender(&outbox, &["d", "e"])];
            let publisher = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || {
                    future::block_on(outbox.wait_for_broadcast_room());
                    let post = post("to many", SlowConsumer::DropNewest);
                    outbox.offer(&post, &mut Dropped::default());
                })
            };
            polite.join().unwrap();
            publisher.join().unwrap();
            for sender in senders {
                sender.join().unwrap();
            }
            outbox.close(CloseCode::NORMAL, "").unwrap();
            future::block_on(driver).unwrap();
            let written = socket.written();
            assert!(written.iter().any(|text| text == LARGE));
            assert!((7..=8).contains(&written.len()), "{written:?}");
            assert!(outbox.state().waiters.is_none(), "nothing is left");
        },
        ORDERS,
    );
}
