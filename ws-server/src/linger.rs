//! linger
use crate::Limits;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
pub(crate) async fn linger<Io: AsyncRead + AsyncWrite + Unpin>(io: &mut Io, limits: &Limits) {
    let drained = async {
        io.shutdown().await?;
        let mut buffer = vec![0; 4096];
        let mut left = limits.linger_bytes;
        while left > 0 {
            match io.read(&mut buffer).await? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(limits.linger_timeout, drained).await;
}
