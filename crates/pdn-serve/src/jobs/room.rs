//! Reserves bytes on the account: at once, or as soon as others return them.

use crate::app::App;
use crate::jobs::account::{Share, Stage};
use crate::problem::{Kind, Problem, Unit};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::time::timeout_at;

/// How often a waiting worker checks for room.
const LOOK: Duration = Duration::from_millis(20);

impl App {
    /// Grows a share to at least `bytes`. If there is no room, kept entries are removed, the least recently used first.
    ///
    /// # Errors
    /// [`Kind::MuchMemory`] if the bytes exceed the stage's part of the account; [`Kind::Busy`] if other requests hold
    /// them.
    pub(crate) fn grow(&self, share: &mut Share, bytes: usize, stage: Stage) -> Result<(), Problem> {
        let more = bytes.saturating_sub(share.bytes());
        let part = stage.part(self.account.limit());
        if bytes > part {
            let why = format_args!(
                "the request needs {bytes} bytes of memory, but the limit for all requests together is {part}"
            );
            return Err(Kind::MuchMemory.because(why).limited(Unit::Bytes, part as u64, Some(bytes as u64)));
        }
        while !share.grow(more, stage) {
            if !self.store.forget_oldest() {
                return Err(Kind::Busy.because("other requests are using all the memory; try again"));
            }
        }
        Ok(())
    }

    /// Returns a share of this many bytes, at once.
    ///
    /// # Errors
    /// Same as [`Self::grow`].
    pub(crate) fn share(&self, bytes: usize, stage: Stage) -> Result<Share, Problem> {
        let mut share = self.account.nothing();
        self.grow(&mut share, bytes, stage).map(|()| share)
    }

    /// Returns a share of this many bytes as soon as there is room, within the client timeout.
    ///
    /// # Errors
    /// Same as [`Self::grow`].
    pub(crate) async fn share_soon(&self, bytes: usize, stage: Stage) -> Result<Share, Problem> {
        let end = tokio::time::Instant::now() + self.settings.patience;
        loop {
            let freed = self.account.freed();
            match self.share(bytes, stage) {
                Err(problem) if problem.kind() == Kind::Busy => {
                    // Bytes returned between the check and the wait still wake it.
                    timeout_at(end, freed).await.map_err(|_| problem)?;
                }
                outcome => return outcome,
            }
        }
    }

    /// Grows a share to at least `bytes` as soon as there is room, blocking a worker thread while `goes_on`.
    ///
    /// # Errors
    /// Same as [`Self::grow`].
    pub(crate) fn grow_for_work(
        &self,
        share: &mut Share,
        bytes: usize,
        goes_on: impl Fn() -> bool,
    ) -> Result<(), Problem> {
        let end = Instant::now() + self.settings.patience;
        loop {
            match self.grow(share, bytes, Stage::Working) {
                Err(problem) if problem.kind() == Kind::Busy && Instant::now() < end && goes_on() => sleep(LOOK),
                outcome => return outcome,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::account::{HeldPicture, held};
    use crate::jobs::models::Models;
    use crate::settings::Settings;
    use pdn::Picture;
    use uuid::Uuid;

    fn app(limit: usize) -> App {
        let patience = Duration::from_millis(50);
        let settings = Settings { request_memory: limit, keep_memory: limit, patience, ..Settings::default() };
        let models = Models::new(vec![], settings.target);
        App::new(settings, models, vec![], pdn::bundled_encoder().unwrap())
    }

    #[test]
    fn what_is_held_goes_back_and_never_passes_the_limit() {
        let app = app(1000);
        let first = app.share(400, Stage::Receiving).unwrap();
        let refused = app.share(200, Stage::Receiving).unwrap_err();
        assert_eq!(refused.kind(), Kind::Busy, "uploads have half");
        let mut second = app.share(300, Stage::Reading).unwrap();
        assert_eq!(app.share(100, Stage::Reading).unwrap_err().kind(), Kind::Busy, "pictures have three quarters");
        app.grow(&mut second, 600, Stage::Working).unwrap();
        assert_eq!((app.account.held(), second.bytes()), (1000, 600));
        assert_eq!(app.grow(&mut second, 601, Stage::Working).unwrap_err().kind(), Kind::Busy);
        assert_eq!(app.share(1001, Stage::Working).unwrap_err().kind(), Kind::MuchMemory);
        second.shrink_to(10);
        drop(first);
        let bytes = held(vec![0; 7], second);
        let part = bytes.slice(2..3);
        drop(bytes);
        assert_eq!(app.account.held(), 7, "a part holds the whole");
        drop(part);
        assert_eq!((app.account.held(), app.account.most()), (0, 1000));
    }

    #[test]
    fn what_is_kept_makes_room() {
        let app = app(1 << 20);
        let ids = [(); 2].map(|()| Uuid::new_v4());
        for id in ids {
            let share = app.share(300 << 10, Stage::Reading).unwrap();
            let picture = Picture::from_rgb(1, 1, vec![0; 3]).into();
            app.store.put_picture(id, HeldPicture::new(picture, share));
        }
        let third = app.share(300 << 10, Stage::Reading).unwrap();
        assert_eq!(ids.map(|id| app.store.picture(id).is_some()), [false, true]);
        drop(third);
    }

    #[tokio::test]
    async fn room_is_waited_for() {
        let app = app(1000);
        let all = app.share(1000, Stage::Working).unwrap();
        assert_eq!(app.share_soon(1, Stage::Reading).await.unwrap_err().kind(), Kind::Busy);
        let mut nothing = app.account.nothing();
        assert_eq!(app.grow_for_work(&mut nothing, 1, || false).unwrap_err().kind(), Kind::Busy);
        let waits = app.share_soon(1, Stage::Reading);
        let (found, ()) = tokio::join!(waits, async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            drop(all);
        });
        assert_eq!(found.unwrap().bytes(), 1);
    }
}
