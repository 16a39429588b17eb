//! Receives request bodies within limits: on each body, on all together, and on time.

use crate::app::App;
use crate::jobs::account::{HeldPicture, Share, Stage};
use crate::jobs::bytes::{picture_bytes, pixel_bytes};
use crate::problem::{Kind, Problem, Unit};
use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use pdn::FileFault;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

/// A received body and its share of the account.
pub(crate) struct Upload {
    pub(crate) bytes: Bytes,
    pub(crate) share: Share,
}

/// The initial capacity for a body of unknown length.
const SMALL: usize = 64 << 10;

/// The time limit of a whole upload, and of a response in addition to the time for its bytes, as a multiple of the
/// client timeout.
pub(crate) const WHOLE: u32 = 8;

/// The time limit of decoding a picture, as a multiple of the client timeout.
const DECODING: u32 = 4;

/// How much of an upload that is too large is still received, and for how long.
const DROPPED: usize = 64 << 20;
const DROPPING: Duration = Duration::from_secs(2);

/// Receives and discards the rest of a body. Otherwise a client that is still writing would find the connection closed
/// and never read the error.
async fn drop_rest(stream: &mut BodyDataStream) {
    let mut left = DROPPED;
    let dropped = async {
        while let Some(Ok(piece)) = stream.next().await {
            match left.checked_sub(piece.len()) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    // A body that does not end in time is cut off.
    let _ = timeout(DROPPING, dropped).await;
}

impl App {
    /// Receives a body.
    pub(crate) async fn receive(&self, headers: &HeaderMap, body: Body) -> Result<Upload, Problem> {
        let limit = self.settings.upload;
        let announced: Option<u64> =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let too_large = || {
            let why = format_args!("the request has more than {limit} bytes, the limit; send a smaller file");
            Kind::LargeUpload.because(why).limited(Unit::Bytes, limit as u64, announced)
        };
        let mut stream = body.into_data_stream();
        if announced.is_some_and(|length| length > limit as u64) {
            // A client that sends `Expect` waits for an answer before it sends the body.
            if !headers.contains_key(header::EXPECT) {
                drop_rest(&mut stream).await;
            }
            return Err(too_large());
        }
        let patience = self.settings.patience;
        let slow = |_| Kind::SlowUpload.because(format_args!("no data arrived for {} s", patience.as_secs_f32()));
        let end = Instant::now() + patience * WHOLE;
        let mut share = self.account.nothing();
        // Memory that is reserved but not written to is not yet in use.
        let mut bytes = Vec::with_capacity(announced.map_or(0, |length| length as usize));
        while let Some(piece) = timeout_at(end, timeout(patience, stream.next())).await.map_err(slow)?.map_err(slow)? {
            let piece =
                piece.map_err(|error| Kind::Malformed.because(format_args!("the body ended early: {error}")))?;
            if bytes.len() + piece.len() > limit {
                drop_rest(&mut stream).await;
                return Err(too_large());
            }
            if let Err(problem) = self.make_room(&mut bytes, &mut share, piece.len()) {
                drop_rest(&mut stream).await;
                return Err(problem);
            }
            bytes.extend_from_slice(&piece);
        }
        share.shrink_to(bytes.len());
        Ok(Upload { bytes: bytes.into(), share })
    }

    /// Makes room for `more` bytes of a body.
    fn make_room(&self, bytes: &mut Vec<u8>, share: &mut Share, more: usize) -> Result<(), Problem> {
        let needed = bytes.len() + more;
        if needed > bytes.capacity() {
            // Both copies exist while the bytes move.
            let room = needed.max(2 * bytes.capacity()).max(SMALL);
            self.grow(share, bytes.len() + room, Stage::Receiving)?;
            bytes.reserve_exact(room - bytes.len());
        }
        self.grow(share, needed, Stage::Receiving)
    }

    /// Decodes a picture on a blocking thread; only a few are decoded at a time.
    pub(crate) async fn decode(&self, bytes: Bytes) -> Result<HeldPicture, Problem> {
        let patience = self.settings.patience;
        let Ok(turn) = timeout(patience, self.turn()).await else {
            return Err(Kind::Busy.because("the server is reading other pictures; try again"));
        };
        // Charge the account for the size in the file's header, at the decoder's cost per pixel. If the header is not
        // understood here, charge for the largest picture allowed.
        let limit = self.settings.pixels;
        let said = imagesize::blob_size(&bytes).map(|size| (size.width as u64, size.height as u64)).ok();
        let pixels = said.map_or(limit, |(width, height)| width.saturating_mul(height));
        // The height of a BMP may be signed: its decoder reports this better.
        if let Some((width, height)) = said.filter(|_| pixels > limit && !bytes.starts_with(b"BM")) {
            return Err(FileFault::TooLarge { width, height, pixels, limit }.into());
        }
        let pixels = pixels.min(limit);
        let needed = pixel_bytes(&bytes).saturating_mul(pixels).saturating_add(2 * bytes.len() as u64);
        let mut share = self.share_soon(usize::try_from(needed).unwrap_or(usize::MAX), Stage::Reading).await?;
        let limits = pdn::Limits { pixels, deadline: Some(std::time::Instant::now() + patience * DECODING) };
        let decoded = run_blocking(turn, move || pdn::read_any_bytes(&bytes, &limits)).await;
        let picture = decoded.ok_or_else(|| Kind::Internal.because("the picture's decoder crashed"))??;
        let needed = picture_bytes(&picture);
        self.grow(&mut share, needed, Stage::Reading)?;
        share.shrink_to(needed);
        Ok(HeldPicture::new(picture, share))
    }

    /// Waits for a turn at decoding or encoding; only a few run at a time.
    pub(crate) async fn turn(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.decoders).acquire_owned().await.expect("turns do not end")
    }
}

/// Runs work on a blocking thread. The turn ends with the work, even if the client has gone. `None` if the work panics.
pub(crate) async fn run_blocking<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let work = move || {
        let done = work();
        drop(turn);
        done
    };
    tokio::task::spawn_blocking(work).await.ok()
}
