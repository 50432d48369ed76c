//! One order for all who hear.

use std::time::Duration;

use tokio::time::timeout;
use ws_server::Published;

use super::Raw;

pub(crate) const READERS: usize = 8;
const PUBLISHERS: usize = 4;
const MESSAGES: usize = 300;

/// All readers see one order of what several tasks publish. `publish` gets the number of the message
/// and its text.
pub(crate) async fn all_see_one_order(
    raws: Vec<Raw>,
    publish: impl Fn(usize, String) -> Published + Clone + Send + 'static,
) {
    assert_eq!(raws.len(), READERS);
    let read = |mut raw: Raw| async move {
        let mut texts = Vec::new();
        for _ in 0..PUBLISHERS * MESSAGES {
            texts.push(raw.text().await);
        }
        texts
    };
    let readers: Vec<_> = raws.into_iter().map(|raw| tokio::spawn(read(raw))).collect();
    let publish_all = |publisher: usize| {
        let publish = publish.clone();
        async move {
            for i in 0..MESSAGES {
                let published = publish(i, format!("{publisher} {i}"));
                assert!(matches!(published, Published::Here(READERS) | Published::Handed));
                if i % 20 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    };
    let publishers: Vec<_> = (0..PUBLISHERS).map(|n| tokio::spawn(publish_all(n))).collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let mut orders = Vec::new();
    for reader in readers {
        orders.push(timeout(Duration::from_secs(60), reader).await.unwrap().unwrap());
    }
    assert!(orders.iter().all(|order| *order == orders[0]));
}
