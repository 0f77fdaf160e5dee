//! Blocking work for asynchronous callers, without a runtime.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

struct Slot<T> {
    result: Option<thread::Result<T>>,
    waker: Option<Waker>,
}

/// Runs `work` on a thread of its own, and waits for its result without blocking.
///
/// If no thread can be started, `work` runs on the caller's thread. If the future is dropped,
/// `work` still runs to its end.
pub(super) async fn offload<T, W>(name: &str, work: W) -> T
where
    T: Send + 'static,
    W: FnOnce() -> T + Send + 'static,
{
    let slot = Arc::new(Mutex::new(Slot { result: None, waker: None }));
    let (on_thread, work) = (slot.clone(), Arc::new(Mutex::new(Some(work))));
    let for_thread = work.clone();
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || {
        let Some(work) = lock(&for_thread).take() else { return };
        let result = catch_unwind(AssertUnwindSafe(work));
        let mut slot = lock(&on_thread);
        slot.result = Some(result);
        let waker = slot.waker.take();
        drop(slot);
        waker.into_iter().for_each(Waker::wake);
    });
    if spawned.is_err() {
        let work = lock(&work).take();
        lock(&slot).result = work.map(|work| catch_unwind(AssertUnwindSafe(work)));
    }
    let result = poll_fn(|context| {
        let mut slot = lock(&slot);
        match slot.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    });
    result.await.unwrap_or_else(|panic| resume_unwind(panic))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns `true` if the thread belongs to a tokio runtime, where blocking delays other tasks.
pub(super) fn is_async() -> bool {
    #[cfg(all(feature = "tokio", not(loom)))]
    return tokio::runtime::Handle::try_current().is_ok();
    #[cfg(not(all(feature = "tokio", not(loom))))]
    return false;
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Wake};
    use std::time::Duration;

    use super::*;

    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        let waker = Arc::new(Unpark(thread::current())).into();
        let (mut context, mut future) = (Context::from_waker(&waker), pin!(future));
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(value) => return value,
                Poll::Pending => thread::park_timeout(Duration::from_secs(60)),
            }
        }
    }

    #[test]
    fn offloaded_work_runs_on_another_thread() {
        let name = wait(offload("worker", || thread::current().name().map(str::to_owned)));
        assert_eq!(name.as_deref(), Some("worker"));
    }

    #[test]
    fn offloaded_panic_reaches_the_caller() {
        let panic = catch_unwind(|| wait(offload("worker", || -> () { panic!("on purpose") })));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"on purpose"));
    }
}
