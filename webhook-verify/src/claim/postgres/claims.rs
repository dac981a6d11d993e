use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use sqlx::{Error, Row as _, SqlStr, postgres::PgRow};

use super::{PostgresStore, Shared, link::code, statements::Statements, values::Value};
use crate::claim::{
    ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, OnLeaseExpiry, Settled, Step,
    StoreError, StoredResponse,
    limiter::shortest,
    sql::{self, Record, foreign, least, millis},
};

/// The number of records that one statement purges: few enough not to delay other statements.
const PURGE_BATCH: usize = 1000;

impl ClaimStore for PostgresStore {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        if let [request] = requests {
            return Ok(vec![self.claim_one(request).await?]);
        }
        // All requests of a receiver have the same terms. Different terms take one statement each.
        let mut by_terms: HashMap<_, Vec<_>> = HashMap::new();
        for (index, request) in requests.iter().enumerate() {
            let terms = (request.lease, request.on_lease_expiry == OnLeaseExpiry::Hold);
            by_terms.entry(terms).or_default().push(index);
        }
        let mut outcomes = vec![None; requests.len()];
        for ((lease, hold), indices) in by_terms {
            let alike = each(&indices, |index| &requests[*index]);
            let answers = self.claim_alike(&alike, lease, hold).await;
            let answers = answers.map_err(|error| {
                if outcomes.iter().any(Option::is_some) { error.in_part() } else { error }
            })?;
            for (index, outcome) in indices.into_iter().zip(answers) {
                outcomes[index] = Some(outcome);
            }
        }
        let outcomes = outcomes.into_iter().collect::<Option<_>>();
        outcomes.ok_or_else(|| foreign("key"))
    }

    async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
        match holders {
            [] => Ok(Vec::new()),
            [holder] => Ok(vec![self.settle_one(holder, step).await?]),
            many => self.settle_many(many, step).await,
        }
    }

    async fn complete_with(
        &self,
        by: &Holder,
        status: u16,
        ttl: Duration,
        response: &StoredResponse,
    ) -> Result<Settled, StoreError> {
        let Shared { link, statements, .. } = &*self.shared;
        let step = Step::Complete { status, ttl };
        let mut values = holder(by);
        values.extend(values_of(step));
        values.push(self.lock_timeout_value());
        values.push(Value::Response(response.as_bytes().to_vec()));
        match link.settle(&statements.complete_with, values, by.limit).await {
            Ok(rows) if rows.is_empty() => Ok(Settled::Superseded),
            Ok(_) => Ok(Settled::Applied),
            Err(error) if is_unusable(&error) => {
                tracing::warn!(
                    target: "webhook_verify",
                    table = statements.table,
                    "response is not stored: the table for responses does not exist, or may not \
                     be used: migrate creates it"
                );
                self.settle_one(by, step).await
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn response(
        &self,
        key: &ClaimKey,
        limit: Duration,
    ) -> Result<Option<StoredResponse>, StoreError> {
        let values = vec![bytes(key.as_bytes())];
        let Shared { link, statements, .. } = &*self.shared;
        let slot = link.limiter.enter(limit).await?;
        let rows = match link.claim(&statements.response, values, slot, limit).await {
            Err(error) if is_unusable(&error) => return Ok(None),
            rows => rows.map_err(|error| self.failed(error))?,
        };
        let Some(row) = rows.first() else { return Ok(None) };
        let stored: Vec<u8> = row.try_get(0).map_err(StoreError::new)?;
        sql::stored(&stored).map(Some)
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        let values = vec![bytes(key.as_bytes()), self.lock_timeout_value()];
        let Statements { forget, forget_response, .. } = &*self.shared.statements;
        let gone = self.maintain(forget, values.clone()).await?;
        // Afterwards, no holder can store a response.
        self.maintain_responses(forget_response, values).await?;
        Ok(!gone.is_empty())
    }

    async fn purge(&self, max: usize) -> Result<usize, StoreError> {
        let batch = async |size: usize| {
            let values = vec![Value::Int(size as i64)];
            let Statements { purge, purge_responses, .. } = &*self.shared.statements;
            self.maintain_responses(purge_responses, values.clone()).await?;
            Ok(self.maintain(purge, values).await?.len())
        };
        sql::purge(max, PURGE_BATCH, batch).await
    }
}

impl PostgresStore {
    async fn claim_one(&self, request: &ClaimRequest) -> Result<ClaimOutcome, StoreError> {
        let mut values = holder(&request.holder());
        values.extend([
            bytes(&request.fingerprint.0),
            Value::Int(millis(request.lease)),
            Value::Flag(request.on_lease_expiry == OnLeaseExpiry::Hold),
            Value::Int(millis(request.ttl.max(request.lease))),
            self.lock_timeout_value(),
        ]);
        let Shared { link, statements, .. } = &*self.shared;
        let slot = link.limiter.enter(request.limit).await?;
        let claimed = link.claim(&statements.claim, values, slot, request.limit);
        match claimed.await {
            Ok(rows) => {
                let row = rows.first().ok_or_else(|| foreign("key"))?;
                outcome(row, request)
            }
            // A transaction has locked the record: usually a handler's that is about to commit.
            Err(error) if code(&error).as_deref() == Some("55P03") => {
                tracing::warn!(
                    target: "webhook_verify",
                    key = %request.key,
                    "claim is locked by a transaction"
                );
                Ok(ClaimOutcome::Busy { lease_left: Duration::ZERO })
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Claims, in one statement, keys with the same lease and the same rule for expired leases.
    async fn claim_alike(
        &self,
        requests: &[&ClaimRequest],
        lease: Duration,
        hold: bool,
    ) -> Result<Vec<ClaimOutcome>, StoreError> {
        let values = vec![
            Value::ByteArrays(each(requests, |request| request.key.as_bytes().to_vec())),
            Value::ByteArrays(each(requests, |request| request.owner.as_bytes().to_vec())),
            Value::ByteArrays(each(requests, |request| request.fingerprint.0.to_vec())),
            Value::Int(millis(lease)),
            Value::Flag(hold),
            Value::Ints(each(requests, |request| millis(request.ttl.max(request.lease)))),
            self.lock_timeout_value(),
        ];
        let Shared { link, statements, .. } = &*self.shared;
        let limit = shortest(requests.iter().map(|request| request.limit));
        let slot = link.limiter.enter(limit).await?;
        let claimed = link.claim(&statements.claim_all, values, slot, limit);
        let rows = claimed.await.map_err(|error| self.failed(error))?;
        let mut answers = HashMap::with_capacity(rows.len());
        for row in &rows {
            answers.insert(key_of(row)?, row);
        }
        let outcomes = requests.iter().map(|request| {
            let row = answers.get(&request.key).ok_or_else(|| foreign("key"))?;
            outcome(row, request)
        });
        outcomes.collect()
    }

    /// Runs a statement on the table for responses, if it exists.
    async fn maintain_responses(&self, sql: &SqlStr, values: Vec<Value>) -> Result<(), StoreError> {
        match self.shared.link.maintain(sql, values).await {
            Err(error) if !is_unusable(&error) => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    async fn settle_one(&self, by: &Holder, step: Step) -> Result<Settled, StoreError> {
        let statements = &self.shared.statements;
        let mut values = holder(by);
        let sql = match step {
            Step::Complete { .. } => &statements.complete,
            Step::Release => &statements.release,
            Step::Extend { .. } => &statements.extend,
        };
        values.extend(values_of(step));
        values.push(self.lock_timeout_value());
        let rows = self.settled(sql, values, by.limit).await?;
        Ok(if rows.is_empty() { Settled::Superseded } else { Settled::Applied })
    }

    async fn settle_many(
        &self,
        holders: &[Holder],
        step: Step,
    ) -> Result<Vec<Settled>, StoreError> {
        let statements = &self.shared.statements;
        let mut values = vec![
            Value::ByteArrays(each(holders, |holder| holder.key.as_bytes().to_vec())),
            Value::ByteArrays(each(holders, |holder| holder.owner.as_bytes().to_vec())),
            self.lock_timeout_value(),
        ];
        let sql = match step {
            Step::Complete { .. } => &statements.complete_all,
            Step::Release => &statements.release_all,
            Step::Extend { .. } => &statements.extend_all,
        };
        values.extend(values_of(step));
        let mut applied = HashSet::new();
        let limit = shortest(holders.iter().map(|holder| holder.limit));
        for row in self.settled(sql, values, limit).await? {
            applied.insert(key_of(&row)?);
        }
        let settled = holders.iter().map(|holder| {
            if applied.contains(&holder.key) { Settled::Applied } else { Settled::Superseded }
        });
        Ok(settled.collect())
    }
}

/// Returns whether the database user has no such table, or may not use it: `undefined_table`,
/// `insufficient_privilege`.
fn is_unusable(error: &Error) -> bool {
    matches!(code(error).as_deref(), Some("42P01" | "42501"))
}

/// Returns the outcome of `request` from a row of `claim.sql`.
fn outcome(row: &PgRow, request: &ClaimRequest) -> Result<ClaimOutcome, StoreError> {
    let outcome = || -> Result<_, Error> {
        let (owner, fingerprint): ([u8; 16], [u8; 32]) = (row.try_get(1)?, row.try_get(4)?);
        let record = Record {
            owner: &owner,
            state: row.try_get::<i16, _>(2)?.into(),
            attempt: row.try_get(3)?,
            fingerprint: &fingerprint,
            status: row.try_get::<Option<i32>, _>(5)?.map(i64::from),
            lease_left: row.try_get(6)?,
        };
        Ok(record.outcome(request))
    };
    outcome().map_err(StoreError::new)?
}

pub(super) fn holder(holder: &Holder) -> Vec<Value> {
    vec![bytes(holder.key.as_bytes()), bytes(holder.owner.as_bytes())]
}

fn each<T, U>(all: &[T], part: impl Fn(&T) -> U) -> Vec<U> {
    all.iter().map(part).collect()
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

/// Returns the parameters of a step.
pub(super) fn values_of(step: Step) -> Vec<Value> {
    match step {
        Step::Complete { status, ttl } => {
            vec![Value::Int(status.into()), Value::Int(millis(ttl)), Value::Int(millis(least(ttl)))]
        }
        Step::Release => Vec::new(),
        Step::Extend { lease } => vec![Value::Int(millis(lease))],
    }
}

fn key_of(row: &PgRow) -> Result<ClaimKey, StoreError> {
    let bytes: [u8; 32] = row.try_get(0).map_err(StoreError::new)?;
    Ok(bytes.into())
}
