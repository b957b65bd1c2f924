//! The feeds API of the embedded store.
//!
//! Implements `ActivityStore`. Invariant: the rules of `store::activities` hold. Absent on purpose: the statements.

use futures_util::future::BoxFuture;

use super::handle::Embedded;
use super::statements;
use crate::store::activities::{ActivityStore, Row, Statement};
use crate::store::error::StoreError;
use crate::store::group::Work;

impl ActivityStore for Embedded {
    fn read_activities(&self, statements: Vec<Statement>) -> BoxFuture<'_, Result<Vec<Vec<Row>>, StoreError>> {
        let read = move |connection: &rusqlite::Transaction<'_>, _: &dyn Fn() -> bool| {
            statements.iter().map(|statement| statements::run(connection, statement)).collect()
        };
        Box::pin(self.readers.ask(read))
    }

    fn change_activities(&self, statements: Vec<Statement>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.writer.ask(Work::Activities(statements)).await.map(drop) })
    }
}
