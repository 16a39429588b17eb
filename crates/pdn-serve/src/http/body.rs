//! Bodies of requests, received within bounds: of each, of all together, and of time.

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

/// A body that was received, and its share of the account.
pub(crate) struct Upload {
    pub(crate) bytes: Bytes,
    pub(crate) share: Share,
}

/// The first room for a body whose length nobody announced.
const SMALL: usize = 64 << 10;

/// How many times a client's patience a whole upload may take, and an answer beside its bytes.
pub(crate) const WHOLE: u32 = 8;

/// How many times a client's patience decoding a picture may take.
const DECODING: u32 = 4;

/// How much more of an upload that is too large is received, and for how long.
const DROPPED: usize = 64 << 20;
const DROPPING: Duration = Duration::from_secs(2);

/// Receives what is left of a body, and keeps nothing: a client that is still writing would else find the connection closed, and
/// never read why.
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
    // What does not end in time is cut off, as before.
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
            // Who asks before sending has sent nothing.
            if !headers.contains_key(header::EXPECT) {
                drop_rest(&mut stream).await;
            }
            return Err(too_large());
        }
        let patience = self.settings.patience;
        let slow = |_| Kind::SlowUpload.because(format_args!("no data arrived for {} s", patience.as_secs_f32()));
        let end = Instant::now() + patience * WHOLE;
        let mut share = self.account.nothing();
        // What is announced takes no memory before it comes.
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

    /// Makes room for so many bytes more of a body.
    fn make_room(&self, bytes: &mut Vec<u8>, share: &mut Share, more: usize) -> Result<(), Problem> {
        let needed = bytes.len() + more;
        if needed > bytes.capacity() {
            // While it is moved, both are there.
            let room = needed.max(2 * bytes.capacity()).max(SMALL);
            self.grow(share, bytes.len() + room, Stage::Receiving)?;
            bytes.reserve_exact(room - bytes.len());
        }
        self.grow(share, needed, Stage::Receiving)
    }

    /// Decodes a picture, on threads where that holds nobody up, a few at a time.
    pub(crate) async fn decode(&self, bytes: Bytes) -> Result<HeldPicture, Problem> {
        let patience = self.settings.patience;
        let Ok(turn) = timeout(patience, self.turn()).await else {
            return Err(Kind::Busy.because("the server is reading other pictures; try again"));
        };
        // What its head says is taken from the account, and then all that the decoder may take. Of a format whose head is not
        // known here that is what a picture may have.
        let limit = self.settings.pixels;
        let said = imagesize::blob_size(&bytes).map(|size| (size.width as u64, size.height as u64)).ok();
        let pixels = said.map_or(limit, |(width, height)| width.saturating_mul(height));
        // A BMP's height may have a sign: its decoder says more.
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
        Ok(HeldPicture { picture: Arc::new(picture), share: Arc::new(share) })
    }

    /// A turn at decoding or encoding, of which there are a few at a time.
    pub(crate) async fn turn(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.decoders).acquire_owned().await.expect("turns do not end")
    }
}

/// Runs work on the thread pool for blocking work. Who asked for it may have gone: the turn ends with the work. None where
/// the work panics.
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
