//! Bodies of requests, received within bounds: of each, of all together, and of time.

use crate::app::App;
use crate::problem::{Kind, Problem, Unit};
use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use pdn::AnyPicture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

/// A body, and its part of the memory for those that are in hand, until nobody holds its bytes.
struct Upload {
    bytes: Vec<u8>,
    _held: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Upload {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// How many times a client's patience a whole upload may take.
const WHOLE: u32 = 8;

/// How much more of an upload that is too large is received, and for how long.
const DROPPED: usize = 64 << 20;
const DROPPING: Duration = Duration::from_secs(2);

/// Receives what is left of a body, and keeps nothing: a client that is still writing would find the connection closed, and
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
    pub(crate) async fn receive(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
        let limit = self.settings.upload;
        let announced: Option<u64> =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let too_large = || {
            let why = format_args!("more than {limit} bytes, the limit: send a smaller file");
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
        let slow = |_| Kind::SlowUpload.because(format_args!("nothing came for {} s", patience.as_secs_f32()));
        let end = Instant::now() + patience * WHOLE;
        let (mut bytes, mut held) = (Vec::new(), None::<OwnedSemaphorePermit>);
        while let Some(piece) = timeout_at(end, timeout(patience, stream.next())).await.map_err(slow)?.map_err(slow)? {
            let piece =
                piece.map_err(|error| Kind::Malformed.because(format_args!("the body ended early: {error}")))?;
            if bytes.len() + piece.len() > limit {
                drop_rest(&mut stream).await;
                return Err(too_large());
            }
            // Pieces are some KiB: no more than 32 bits.
            let room = Arc::clone(&self.uploads).try_acquire_many_owned(piece.len() as u32);
            let room = room.map_err(|_| Kind::Busy.because("other uploads take all memory for them: try again"))?;
            match &mut held {
                Some(held) => held.merge(room),
                None => held = Some(room),
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Bytes::from_owner(Upload { bytes, _held: held }))
    }

    /// Decodes a picture, on threads where that holds nobody up, a few at a time.
    pub(crate) async fn decode(&self, bytes: Bytes) -> Result<AnyPicture, Problem> {
        let turn = timeout(self.settings.patience, self.turn()).await;
        let Ok(turn) = turn else { return Err(Kind::Busy.because("other pictures are being read: try again")) };
        let limits = pdn::Limits { pixels: self.settings.pixels, ..pdn::Limits::default() };
        let decoded = aside(turn, move || pdn::read_any_bytes(&bytes, &limits)).await;
        Ok(decoded.ok_or_else(|| Kind::Internal.because("the picture's decoder broke"))??)
    }

    /// A turn at decoding or encoding, of which there are a few at a time.
    pub(crate) async fn turn(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.decoders).acquire_owned().await.expect("turns do not end")
    }
}

/// Does work on a thread where it holds nobody up. Who asked for it may have gone: the turn ends with the work. Nothing where
/// the work panics.
pub(crate) async fn aside<T: Send + 'static>(
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
