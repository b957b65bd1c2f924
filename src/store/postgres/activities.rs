//! The feeds API of the Postgres store.
//!
//! Implements `ActivityStore`. Invariant: the rules of `store::activities` hold. Writes bypass the writer task, since they do
//! not depend on the order of the journal; a replaced server writes nothing. Absent on purpose: the statements.

use std::error::Error;

use bytes::BytesMut;
use deadpool_postgres::Pool;
use futures_util::future::{BoxFuture, try_join_all};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::handle::Postgres;
use super::rows;
use crate::store::activities::{ActivityStore, Row, Statement, Value};
use crate::store::error::StoreError;

impl ActivityStore for Postgres {
    fn read_activities(&self, statements: Vec<Statement>) -> BoxFuture<'_, Result<Vec<Vec<Row>>, StoreError>> {
        Box::pin(self.read(read(self.reads.pool.clone(), statements)))
    }

    fn change_activities(&self, statements: Vec<Statement>) -> BoxFuture<'_, Result<(), StoreError>> {
        let replaced = self.replaced.as_ref().and_then(|replaced| replaced.borrow().clone());
        if let Some(by) = replaced {
            return Box::pin(std::future::ready(Err(StoreError::Replaced(by))));
        }
        Box::pin(self.read(change(self.reads.pool.clone(), statements)))
    }
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(number) => number.to_sql_checked(ty, out),
            Value::Text(text) => text.to_sql_checked(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::TEXT)
    }

    to_sql_checked!();
}

/// One column of the keys of a statement, as an array.
enum Column<'s> {
    Ints(Vec<i64>),
    Texts(Vec<&'s str>),
}

impl ToSql for Column<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Column::Ints(numbers) => numbers.to_sql_checked(ty, out),
            Column::Texts(texts) => texts.to_sql_checked(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8_ARRAY | Type::TEXT_ARRAY)
    }

    to_sql_checked!();
}

impl std::fmt::Debug for Column<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }
}

/// The keys of a statement by column.
fn columns(keys: &[Vec<Value>]) -> Vec<Column<'_>> {
    let count = keys.first().map_or(0, Vec::len);
    let column = |index: usize| match keys.first().and_then(|key| key.get(index)) {
        Some(Value::Int(_)) => Column::Ints(
            keys.iter().map(|key| if let Some(Value::Int(number)) = key.get(index) { *number } else { 0 }).collect(),
        ),
        _ => Column::Texts(
            keys.iter().map(|key| if let Some(Value::Text(text)) = key.get(index) { text } else { "" }).collect(),
        ),
    };
    (0..count).map(column).collect()
}

async fn read(pool: Pool, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
    let client = pool.get().await?;
    let mut answers = Vec::with_capacity(statements.len());
    for statement in &statements {
        let prepared = client.prepare_cached(statement.postgres).await?;
        let columns = columns(statement.keys.as_deref().unwrap_or_default());
        let parameters = columns.iter().map(|column| column as &(dyn ToSql + Sync));
        let parameters: Vec<_> = parameters.chain(statement.rest.iter().map(|one| one as _)).collect();
        let found = client.query(&prepared, &parameters).await?;
        let has_keys = statement.keys.is_some();
        answers.push(found.iter().map(|found| row(found, has_keys)).collect::<Result<_, _>>()?);
    }
    Ok(answers)
}

/// Decodes a row. In a statement over keys the first column is the place of the key, from 1.
fn row(found: &tokio_postgres::Row, has_keys: bool) -> Result<Row, StoreError> {
    let key = if has_keys { rows::number::<usize>("activities", found, 0)?.saturating_sub(1) } else { 0 };
    let value = |index: usize| {
        Ok(match *found.columns()[index].type_() {
            Type::INT8 => rows::get::<Option<i64>>("activities", found, index)?.map_or(Value::Null, Value::Int),
            _ => rows::get::<Option<String>>("activities", found, index)?.map_or(Value::Null, Value::Text),
        })
    };
    let values = (usize::from(has_keys)..found.len()).map(value).collect::<Result<_, StoreError>>()?;
    Ok(Row { key, values })
}

/// Runs writes in one transaction; all are sent before the first answer is awaited.
async fn change(pool: Pool, statements: Vec<Statement>) -> Result<(), StoreError> {
    let mut client = pool.get().await?;
    let transaction = client.build_transaction().read_only(false).start().await?;
    let mut prepared = Vec::with_capacity(statements.len());
    for statement in &statements {
        prepared.push(transaction.prepare_cached(statement.postgres).await?);
    }
    let parameters: Vec<Vec<&(dyn ToSql + Sync)>> =
        statements.iter().map(|statement| statement.rest.iter().map(|one| one as _).collect()).collect();
    let runs =
        prepared.iter().zip(&parameters).map(|(statement, parameters)| transaction.execute(statement, parameters));
    try_join_all(runs).await?;
    transaction.commit().await?;
    Ok(())
}
