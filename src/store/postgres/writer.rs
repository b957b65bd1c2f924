//! The single writer task and its group commit.
//!
//! Invariant: the writer answers a call after the commit that holds its work. When one call of a group is refused, the
//! others are committed without it. Absent on purpose: the statements of a commit.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::failures::stopped;
use super::writer_connection::WriterConnection;
use crate::store::error::StoreError;
use crate::store::group::{self, Answer, Call, Work};
use crate::store::journal::Outcome;

/// Queues work and waits until it is durable. Dropping the future does not cancel the work.
pub(super) async fn ask(calls: &mpsc::Sender<Call>, work: Work) -> Answer {
    let (answer, answered) = oneshot::channel();
    calls.send(Call { work, answer }).await.map_err(|_| stopped())?;
    answered.await.map_err(|_| stopped())?
}

/// Pause between two checks of an idle connection.
const IDLE: Duration = Duration::from_secs(2);

/// Largest number of answers that the writer task sends itself. More answers are sent by another thread, while the
/// writer commits the next group.
const RESPOND_HERE: usize = 8;

/// Answers calls until the queue is closed and empty. `others` are threads that send answers.
pub(super) async fn run(mut connection: WriterConnection, mut queue: mpsc::Receiver<Call>, others: &Handle) {
    let mut responding: Vec<JoinHandle<()>> = Vec::new();
    loop {
        let call = match timeout(IDLE, queue.recv()).await {
            Ok(Some(call)) => call,
            Ok(None) => break,
            Err(_) => {
                connection.check().await;
                continue;
            }
        };
        let group = group::gather(call, &mut queue);
        responding.retain(|task| !task.is_finished());
        let mut respond = |group: Vec<Call>, answers: Vec<Vec<Outcome>>| {
            let count = group.len();
            let send = move || group.into_iter().zip(answers).for_each(|(call, outcomes)| call.respond(Ok(outcomes)));
            if count <= RESPOND_HERE { send() } else { responding.push(others.spawn(async move { send() })) }
        };
        if let Err(error) = answer(&mut connection, group, &mut respond).await
            && queue.is_closed()
        {
            // The store is closing and the database cannot answer: fail all queued calls at once.
            while let Ok(call) = queue.try_recv() {
                call.respond(Err(error.clone()));
            }
        }
    }
    for task in responding {
        // An error means that the threads have ended, and the callers with them.
        let _ = task.await;
    }
    connection.close().await;
}

/// Commits a group and answers its calls. Returns the error when the store cannot answer; the calls have it, too.
async fn answer(
    connection: &mut WriterConnection,
    group: Vec<Call>,
    respond: &mut (dyn FnMut(Vec<Call>, Vec<Vec<Outcome>>) + Send),
) -> Result<(), StoreError> {
    match connection.commit(&group).await {
        Ok(answers) => {
            respond(group, answers);
            Ok(())
        }
        Err(StoreError::Refused(_)) if group.len() > 1 => {
            let mut calls = group.into_iter();
            while let Some(call) = calls.next() {
                if let Err(error) = Box::pin(answer(connection, vec![call], respond)).await {
                    calls.for_each(|call| call.respond(Err(error.clone())));
                    return Err(error);
                }
            }
            Ok(())
        }
        Err(error) => {
            group.into_iter().for_each(|call| call.respond(Err(error.clone())));
            if matches!(error, StoreError::Refused(_)) { Ok(()) } else { Err(error) }
        }
    }
}
