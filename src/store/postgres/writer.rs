//! The one task that writes, and its group commit.
//!
//! Invariant: an answer is sent after the commit that holds its work. Each call keeps its own fate: if one of a group is
//! refused, the others are committed without it. Absent on purpose: what a commit consists of.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::failures::stopped;
use super::writer_connection::WriterConnection;
use crate::store::group::{self, Answer, Call, Work};
use crate::store::{Outcome, StoreError};

/// Asks, and waits until it is durable. Whoever stops waiting does not take it back.
pub(super) async fn ask(calls: &mpsc::Sender<Call>, work: Work) -> Answer {
    let (answer, answered) = oneshot::channel();
    calls.send(Call { work, answer }).await.map_err(|_| stopped())?;
    answered.await.map_err(|_| stopped())?
}

/// Between two looks at a connection that nobody needs.
const IDLE: Duration = Duration::from_secs(2);

/// More answers than this are sent by another thread, while the next group is on its way to the database.
const TELL_HERE: usize = 8;

/// Answers calls until nobody can ask any more, and all are answered. `others` are threads that may help.
pub(super) async fn run(mut session: WriterConnection, mut queue: mpsc::Receiver<Call>, others: &Handle) {
    let mut telling: Vec<JoinHandle<()>> = Vec::new();
    loop {
        let call = match timeout(IDLE, queue.recv()).await {
            Ok(Some(call)) => call,
            Ok(None) => break,
            Err(_) => {
                session.look().await;
                continue;
            }
        };
        let group = group::gather(call, &mut queue);
        telling.retain(|telling| !telling.is_finished());
        let mut tell = |group: Vec<Call>, answers: Vec<Vec<Outcome>>| {
            let count = group.len();
            let tell = move || group.into_iter().zip(answers).for_each(|(call, outcomes)| call.tell(Ok(outcomes)));
            if count <= TELL_HERE { tell() } else { telling.push(others.spawn(async move { tell() })) }
        };
        if let Err(error) = answer(&mut session, group, &mut tell).await
            && queue.is_closed()
        {
            // Nobody will come again, and the database cannot answer now: those who wait need not wait one by one.
            while let Ok(call) = queue.try_recv() {
                call.tell(Err(group::clone(&error)));
            }
        }
    }
    for told in telling {
        // An error means that the threads are gone, and who waited with them.
        let _ = told.await;
    }
    session.close().await;
}

/// An error says that the store cannot answer; the group was told.
async fn answer(
    session: &mut WriterConnection,
    group: Vec<Call>,
    tell: &mut (dyn FnMut(Vec<Call>, Vec<Vec<Outcome>>) + Send),
) -> Result<(), StoreError> {
    match session.commit(&group).await {
        Ok(answers) => {
            tell(group, answers);
            Ok(())
        }
        Err(StoreError::Refused(_)) if group.len() > 1 => {
            let mut calls = group.into_iter();
            while let Some(call) = calls.next() {
                if let Err(error) = Box::pin(answer(session, vec![call], tell)).await {
                    calls.for_each(|call| call.tell(Err(group::clone(&error))));
                    return Err(error);
                }
            }
            Ok(())
        }
        Err(error) => {
            group.into_iter().for_each(|call| call.tell(Err(group::clone(&error))));
            if matches!(error, StoreError::Refused(_)) { Ok(()) } else { Err(error) }
        }
    }
}
