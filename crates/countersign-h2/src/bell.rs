//! Whether the link has to be asked what to send.
//!
//! A stack polls its connection several times per request, while the link has something to send a few
//! times per connection. So the link is given a waker that also leaves a mark, and is asked again
//! only when the mark is there. Asking costs it a lock; looking for the mark costs a load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// Rung by the link, answered by the task that polls the tap.
#[derive(Debug)]
pub(crate) struct Bell {
    ring: Arc<Ring>,
    /// What the link gets.
    waker: Waker,
    /// The task that is woken, as it was last given to the ring.
    task: Option<Waker>,
}

#[derive(Debug)]
struct Ring {
    rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Ring {
    fn set_task(&self, task: Option<Waker>) {
        // What is replaced is dropped without the lock: that may run a task's destructors.
        let old =
            std::mem::replace(&mut *self.task.lock().unwrap_or_else(PoisonError::into_inner), task);
        drop(old);
    }
}

impl Bell {
    /// A bell that has rung: the link was not asked yet.
    pub(crate) fn new() -> Self {
        let ring = Arc::new(Ring { rung: AtomicBool::new(true), task: Mutex::new(None) });
        Self { waker: Arc::clone(&ring).into(), ring, task: None }
    }

    /// Nothing has happened, and the current task is woken when it does.
    #[inline]
    pub(crate) fn is_silent(&self, cx: &Context<'_>) -> bool {
        !self.ring.rung.load(Ordering::Acquire)
            && self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker()))
    }

    /// Asks again next time, whatever the link does.
    pub(crate) fn ring(&self) {
        self.ring.rung.store(true, Ordering::Release);
    }

    /// Remembers the current task. If the bell has rung, takes the mark away and gives the waker to
    /// ask with.
    pub(crate) fn answer(&mut self, cx: &Context<'_>) -> Option<&Waker> {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
            self.ring.set_task(self.task.clone());
        }
        // After the task was set: who rang before that woke another one, and the mark is here.
        self.ring.rung.swap(false, Ordering::AcqRel).then_some(&self.waker)
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.ring.set_task(None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_link_is_asked_once_and_again_when_it_rings() {
        let count = Arc::new(Count::default());
        let task = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&task);
        let mut bell = Bell::new();
        assert!(!bell.is_silent(&cx));
        let link = bell.answer(&cx).unwrap().clone();
        assert!(bell.is_silent(&cx) && bell.answer(&cx).is_none());

        link.wake_by_ref();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(!bell.is_silent(&cx) && bell.answer(&cx).is_some() && bell.is_silent(&cx));
    }

    #[test]
    fn a_task_that_takes_over_is_the_one_that_is_woken() {
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        let tasks = counts.clone().map(Waker::from);
        let mut bell = Bell::new();
        let link = bell.answer(&Context::from_waker(&tasks[0])).unwrap().clone();
        let second = Context::from_waker(&tasks[1]);
        assert!(!bell.is_silent(&second));
        assert!(bell.answer(&second).is_none());
        assert!(bell.is_silent(&second));
        link.wake_by_ref();
        assert_eq!(counts.each_ref().map(|count| count.0.load(Ordering::Relaxed)), [0, 1]);

        drop((bell, tasks));
        link.wake();
        assert_eq!(counts.map(|count| Arc::strong_count(&count)), [1, 1], "no task is kept");
    }
}
