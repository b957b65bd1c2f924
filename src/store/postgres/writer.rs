//! The one task that writes, and its group commit.
//!
//! Invariant: an answer is sent after the commit that holds its work. Each call keeps its own fate: if one of a group is
//! refused, the others are committed without it. Absent on purpose: what a commit consists of.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::failures::stopped;
use super::session::Session;
use crate::store::StoreError;
use crate::store::group::{self, Answer, Call, Work};

/// Asks, and waits until it is durable. Whoever stops waiting does not take it back.
pub(super) async fn ask(calls: &mpsc::Sender<Call>, work: Work) -> Answer {
    let (answer, answered) = oneshot::channel();
    calls.send(Call { work, answer }).await.map_err(|_| stopped())?;
    answered.await.map_err(|_| stopped())?
}

/// Between two looks at a connection that nobody needs.
const IDLE: Duration = Duration::from_secs(2);

/// Answers calls until nobody can ask any more.
pub(super) async fn run(mut session: Session, mut queue: mpsc::Receiver<Call>) {
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
        if let Err(error) = answer(&mut session, group).await
            && queue.is_closed()
        {
            // Nobody will come again, and the database cannot answer now: those who wait need not wait one by one.
            while let Ok(call) = queue.try_recv() {
                call.tell(Err(group::clone(&error)));
            }
        }
    }
    session.close().await;
}

/// An error says that the store cannot answer; the group was told.
async fn answer(session: &mut Session, group: Vec<Call>) -> Result<(), StoreError> {
    match session.commit(&group).await {
        Ok(answers) => {
            for (call, outcomes) in group.into_iter().zip(answers) {
                call.tell(Ok(outcomes));
            }
            Ok(())
        }
        Err(StoreError::Refused(_)) if group.len() > 1 => {
            let mut calls = group.into_iter();
            while let Some(call) = calls.next() {
                if let Err(error) = Box::pin(answer(session, vec![call])).await {
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
