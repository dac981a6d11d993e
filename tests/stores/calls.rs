//! Calls of a store that fails, or may fail for a while.

use std::{error::Error as _, fmt, time::Duration};

use integration_tests::soon;
use tokio::time::sleep;
use webhook_verify::idempotency::StoreError;

/// Returns the cause of a call's failure.
pub(crate) async fn fails<T: fmt::Debug>(
    call: impl Future<Output = Result<T, StoreError>>,
) -> String {
    let error = soon("error of a store", call).await.unwrap_err();
    error.source().unwrap().to_string()
}

/// Repeats a call until it succeeds, and returns the result: on a busy machine, a lock may be held
/// for longer than a call waits for it.
pub(crate) async fn answered<T, F: Future<Output = Result<T, StoreError>>>(
    call: impl Fn() -> F,
) -> T {
    let calls = async {
        loop {
            match call().await {
                Ok(answer) => return answer,
                Err(_) => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    soon("answer of a store", calls).await
}
