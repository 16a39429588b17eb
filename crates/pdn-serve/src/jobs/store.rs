//! Pictures and jobs kept in memory between requests, within a budget and for a limited time.

use crate::jobs::account::HeldPicture;
use crate::jobs::job::Job;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The most pictures and jobs that are kept.
const ENTRIES: usize = 10_000;

/// Kept pictures and jobs by id.
#[derive(Debug)]
pub(crate) struct Store {
    entries: Mutex<HashMap<Uuid, Entry>>,
    /// The limit on their bytes in all.
    budget: usize,
    /// How long an entry is kept after its last use.
    time: Duration,
}

#[derive(Debug)]
struct Entry {
    what: What,
    used: Instant,
}

#[derive(Clone, Debug)]
enum What {
    Picture(HeldPicture),
    Job(Arc<Job>),
}

impl What {
    fn bytes(&self) -> usize {
        match self {
            Self::Picture(picture) => picture.share.bytes(),
            Self::Job(job) => job.bytes(),
        }
    }

    /// Returns whether an entry can be removed. An unfinished job still has a user.
    fn may_go(&self) -> bool {
        match self {
            Self::Picture(_) => true,
            Self::Job(job) => job.status().state.is_final(),
        }
    }
}

impl Store {
    pub(crate) fn new(budget: usize, time: Duration) -> Self {
        Self { entries: Mutex::default(), budget, time }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put_picture(&self, id: Uuid, picture: HeldPicture) {
        self.put(id, What::Picture(picture));
    }

    pub(crate) fn put_job(&self, job: Arc<Job>) {
        self.put(job.id, What::Job(job));
    }

    fn put(&self, id: Uuid, what: What) {
        self.lock().insert(id, Entry { what, used: Instant::now() });
        self.tidy();
    }

    pub(crate) fn picture(&self, id: Uuid) -> Option<HeldPicture> {
        match self.get(id)? {
            What::Picture(picture) => Some(picture),
            What::Job(_) => None,
        }
    }

    pub(crate) fn job(&self, id: Uuid) -> Option<Arc<Job>> {
        match self.get(id)? {
            What::Job(job) => Some(job),
            What::Picture(_) => None,
        }
    }

    fn get(&self, id: Uuid) -> Option<What> {
        let mut entries = self.lock();
        let entry = entries.get_mut(&id)?;
        if entry.used.elapsed() > self.time && entry.what.may_go() {
            return None;
        }
        entry.used = Instant::now();
        Some(entry.what.clone())
    }

    /// Returns the jobs that have not ended.
    pub(crate) fn unfinished(&self) -> Vec<Arc<Job>> {
        let entries = self.lock();
        let jobs = entries.values().filter_map(|entry| match &entry.what {
            What::Job(job) => Some(job),
            What::Picture(_) => None,
        });
        jobs.filter(|job| !job.status().state.is_final()).cloned().collect()
    }

    /// Removes a picture or a job; returns whether it was there.
    pub(crate) fn forget(&self, id: Uuid) -> bool {
        self.lock().remove(&id).is_some()
    }

    /// Removes the least recently used entry that can go; returns whether there was one.
    pub(crate) fn forget_oldest(&self) -> bool {
        let mut entries = self.lock();
        let may_go = entries.iter().filter(|(_, entry)| entry.what.may_go());
        let oldest = may_go.min_by_key(|(_, entry)| entry.used).map(|(id, _)| *id);
        oldest.and_then(|id| entries.remove(&id)).is_some()
    }

    /// Removes expired entries, and then the least recently used ones beyond the budget.
    pub(crate) fn tidy(&self) {
        let mut entries = self.lock();
        entries.retain(|_, entry| entry.used.elapsed() <= self.time || !entry.what.may_go());
        let mut total: usize = entries.values().map(|entry| entry.what.bytes()).sum();
        let mut count = entries.len();
        if total <= self.budget && count <= ENTRIES {
            return;
        }
        let mut oldest: Vec<(Instant, Uuid)> =
            entries.iter().filter(|(_, entry)| entry.what.may_go()).map(|(id, entry)| (entry.used, *id)).collect();
        oldest.sort_unstable();
        for (_, id) in oldest {
            if total <= self.budget && count <= ENTRIES {
                break;
            }
            total -= entries.remove(&id).map_or(0, |entry| entry.what.bytes());
            count -= 1;
        }
    }

    /// Returns the number of entries and their bytes.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let entries = self.lock();
        (entries.len(), entries.values().map(|entry| entry.what.bytes()).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::account::Share;

    /// A picture of this many bytes.
    fn picture(bytes: usize) -> HeldPicture {
        HeldPicture::new(pdn::Picture::from_rgb(1, 1, vec![0; 3]).into(), Share::of(bytes))
    }

    #[test]
    fn what_was_asked_for_longest_ago_goes_first() {
        let store = Store::new(100, Duration::from_secs(60));
        let ids = [(); 3].map(|()| Uuid::new_v4());
        store.put_picture(ids[0], picture(45));
        store.put_picture(ids[1], picture(45));
        assert!(store.picture(ids[0]).is_some());
        store.put_picture(ids[2], picture(45));
        assert_eq!(ids.map(|id| store.picture(id).is_some()), [true, false, true]);
        assert_eq!(store.counts(), (2, 90));
        assert!(store.forget(ids[0]) && !store.forget(ids[0]));
        assert!(store.job(ids[2]).is_none(), "a picture is no job");
        store.put_picture(ids[1], picture(300));
        assert_eq!(store.counts(), (0, 0), "what is more than all may take is not kept");
    }

    #[test]
    fn what_nobody_asks_for_expires() {
        let store = Store::new(100, Duration::from_millis(30));
        let id = Uuid::new_v4();
        store.put_picture(id, picture(3));
        assert!(store.picture(id).is_some());
        std::thread::sleep(Duration::from_millis(50));
        assert!(store.picture(id).is_none() && store.counts().0 == 1);
        store.tidy();
        assert_eq!(store.counts(), (0, 0));
    }
}
