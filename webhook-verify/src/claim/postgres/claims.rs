use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use sqlx::{
    Arguments as _, Encode, Error, Postgres, Row as _, SqlStr, Type,
    postgres::{PgArguments, PgRow},
};

use super::{
    PostgresStore, Shared,
    link::{code, limit},
};
use crate::claim::{
    ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Holder, Lapsed, Settled,
    StoreError,
    limiter::shortest,
    sql::{self, foreign, from_millis, millis},
};

/// How many records one statement purges: few enough not to hold others up.
const PURGE_BATCH: usize = 1000;

impl ClaimStore for PostgresStore {
    async fn claim(&self, request: &ClaimRequest) -> Result<ClaimOutcome, StoreError> {
        let mut arguments = holder(&request.holder())?;
        add(&mut arguments, &request.fingerprint.0[..])?;
        add(&mut arguments, millis(request.lease))?;
        add(&mut arguments, request.lapsed == Lapsed::Hold)?;
        add(&mut arguments, millis(request.ttl.max(request.lease)))?;
        add(&mut arguments, limit(self.shared.lock_timeout))?;
        let Shared {
            link, statements, ..
        } = &*self.shared;
        let slot = link.limiter.enter(request.limit).await?;
        let claimed = link.claim(&statements.claim, arguments, slot, request.limit);
        match claimed.await {
            Ok(rows) => {
                let row = rows.first().ok_or_else(|| foreign("key"))?;
                outcome(row, request)
            }
            // The record is locked by a transaction: that of a handler, as a rule, that is about to commit.
            Err(error) if code(&error).as_deref() == Some("55P03") => {
                tracing::warn!(target: "webhook_verify", key = %request.key, "claim is locked by a transaction");
                Ok(ClaimOutcome::Busy {
                    lease_left: Duration::ZERO,
                })
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn complete(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
    ) -> Result<Settled, StoreError> {
        let arguments = self.completion(holder, status, ttl)?;
        self.settle(&self.shared.statements.complete, arguments, holder.limit)
            .await
    }

    async fn release(&self, by: &Holder) -> Result<Settled, StoreError> {
        let mut arguments = holder(by)?;
        add(&mut arguments, limit(self.shared.lock_timeout))?;
        self.settle(&self.shared.statements.release, arguments, by.limit)
            .await
    }

    async fn extend(&self, by: &Holder, lease: Duration) -> Result<Settled, StoreError> {
        let mut arguments = holder(by)?;
        add(&mut arguments, millis(lease))?;
        add(&mut arguments, limit(self.shared.lock_timeout))?;
        self.settle(&self.shared.statements.extend, arguments, by.limit)
            .await
    }

    async fn claim_all(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        // A receiver's have all the same terms. Others are claimed in as many statements as there are of them.
        let mut by_terms: HashMap<_, Vec<_>> = HashMap::new();
        for (index, request) in requests.iter().enumerate() {
            let terms = (request.lease, request.lapsed == Lapsed::Hold);
            by_terms.entry(terms).or_default().push(index);
        }
        let mut outcomes = vec![None; requests.len()];
        for ((lease, hold), indices) in by_terms {
            let alike = each(&indices, |index| &requests[*index]);
            let answers = self.claim_alike(&alike, lease, hold).await;
            let answers = answers.map_err(|error| match outcomes.iter().any(Option::is_some) {
                true => error.in_part(),
                false => error,
            })?;
            for (index, outcome) in indices.into_iter().zip(answers) {
                outcomes[index] = Some(outcome);
            }
        }
        let outcomes = outcomes.into_iter().collect::<Option<_>>();
        outcomes.ok_or_else(|| foreign("key"))
    }

    async fn extend_all(
        &self,
        holders: &[Holder],
        lease: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        let mut arguments = self.holders(holders)?;
        add(&mut arguments, millis(lease))?;
        self.settle_all(&self.shared.statements.extend_all, holders, arguments)
            .await
    }

    async fn release_all(&self, holders: &[Holder]) -> Result<Vec<Settled>, StoreError> {
        let arguments = self.holders(holders)?;
        self.settle_all(&self.shared.statements.release_all, holders, arguments)
            .await
    }

    async fn complete_all(
        &self,
        holders: &[Holder],
        status: u16,
        ttl: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        let mut arguments = self.holders(holders)?;
        add(&mut arguments, i32::from(status))?;
        add(&mut arguments, millis(ttl))?;
        self.settle_all(&self.shared.statements.complete_all, holders, arguments)
            .await
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        let mut arguments = PgArguments::default();
        add(&mut arguments, &key.as_bytes()[..])?;
        add(&mut arguments, limit(self.shared.lock_timeout))?;
        let forget = &self.shared.statements.forget;
        let gone = self.maintain(forget, arguments).await?;
        Ok(!gone.is_empty())
    }

    async fn purge(&self, most: usize) -> Result<usize, StoreError> {
        let batch = async |size: usize| {
            let mut arguments = PgArguments::default();
            add(&mut arguments, size as i64)?;
            let purge = &self.shared.statements.purge;
            Ok(self.maintain(purge, arguments).await?.len())
        };
        sql::purge(most, PURGE_BATCH, batch).await
    }
}

impl PostgresStore {
    /// Claims in one statement what has the same lease, and the same rule for lapsed claims.
    async fn claim_alike(
        &self,
        requests: &[&ClaimRequest],
        lease: Duration,
        hold: bool,
    ) -> Result<Vec<ClaimOutcome>, StoreError> {
        let mut arguments = PgArguments::default();
        add(
            &mut arguments,
            each(requests, |request| request.key.as_bytes().to_vec()),
        )?;
        add(
            &mut arguments,
            each(requests, |request| request.owner.as_bytes().to_vec()),
        )?;
        add(
            &mut arguments,
            each(requests, |request| request.fingerprint.0.to_vec()),
        )?;
        add(&mut arguments, millis(lease))?;
        add(&mut arguments, hold)?;
        add(
            &mut arguments,
            each(requests, |request| millis(request.ttl.max(request.lease))),
        )?;
        add(&mut arguments, limit(self.shared.lock_timeout))?;
        let Shared {
            link, statements, ..
        } = &*self.shared;
        let limit = shortest(requests.iter().map(|request| request.limit));
        let slot = link.limiter.enter(limit).await?;
        let claimed = link.claim(&statements.claim_all, arguments, slot, limit);
        let rows = claimed.await.map_err(|error| self.failed(error))?;
        let mut answers = HashMap::with_capacity(rows.len());
        for row in &rows {
            answers.insert(key_of(row.try_get(0).map_err(StoreError::new)?)?, row);
        }
        let outcomes = requests.iter().map(|request| {
            let row = answers.get(&request.key).ok_or_else(|| foreign("key"))?;
            outcome(row, request)
        });
        outcomes.collect()
    }

    /// Returns the arguments with which each statement for several holders begins.
    fn holders(&self, holders: &[Holder]) -> Result<PgArguments, StoreError> {
        let mut arguments = PgArguments::default();
        add(
            &mut arguments,
            each(holders, |holder| holder.key.as_bytes().to_vec()),
        )?;
        add(
            &mut arguments,
            each(holders, |holder| holder.owner.as_bytes().to_vec()),
        )?;
        add(&mut arguments, limit(self.shared.lock_timeout))?;
        Ok(arguments)
    }

    async fn settle_all(
        &self,
        sql: &SqlStr,
        holders: &[Holder],
        arguments: PgArguments,
    ) -> Result<Vec<Settled>, StoreError> {
        if holders.is_empty() {
            return Ok(Vec::new());
        }
        let mut applied = HashSet::new();
        let limit = shortest(holders.iter().map(|holder| holder.limit));
        for row in self.settled(sql, arguments, limit).await? {
            applied.insert(key_of(row.try_get(0).map_err(StoreError::new)?)?);
        }
        let settled = holders
            .iter()
            .map(|holder| match applied.contains(&holder.key) {
                true => Settled::Applied,
                false => Settled::Superseded,
            });
        Ok(settled.collect())
    }
}

/// What a row of `claim.sql` says to `request`.
fn outcome(row: &PgRow, request: &ClaimRequest) -> Result<ClaimOutcome, StoreError> {
    type Columns<'a> = (&'a [u8], i16, i64, &'a [u8], Option<i32>, i64);
    let read = || -> Result<Columns<'_>, Error> {
        Ok((
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(4)?,
            row.try_get(5)?,
            row.try_get(6)?,
        ))
    };
    let (owner, state, attempt, fingerprint, status, left) = read().map_err(StoreError::new)?;
    if state == 2 {
        let status = status.and_then(|status| u16::try_from(status).ok());
        let fingerprint = fingerprint.try_into().map_err(|_| foreign("fingerprint"))?;
        return Ok(ClaimOutcome::Completed {
            status: status.ok_or_else(|| foreign("status"))?,
            fingerprint: Fingerprint(fingerprint),
        });
    }
    Ok(match left > 0 && owner == request.owner.as_bytes() {
        true => ClaimOutcome::Won {
            attempt: u64::try_from(attempt).map_err(|_| foreign("attempt"))?,
        },
        false => ClaimOutcome::Busy {
            lease_left: from_millis(left),
        },
    })
}

pub(super) fn holder(holder: &Holder) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    add(&mut arguments, &holder.key.as_bytes()[..])?;
    add(&mut arguments, &holder.owner.as_bytes()[..])?;
    Ok(arguments)
}

fn each<T, U>(all: &[T], part: impl Fn(&T) -> U) -> Vec<U> {
    all.iter().map(part).collect()
}

pub(super) fn add<'a, T: Encode<'a, Postgres> + Type<Postgres>>(
    arguments: &mut PgArguments,
    value: T,
) -> Result<(), StoreError> {
    arguments.add(value).map_err(StoreError::new)
}

fn key_of(bytes: &[u8]) -> Result<ClaimKey, StoreError> {
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| foreign("key"))?;
    Ok(bytes.into())
}
