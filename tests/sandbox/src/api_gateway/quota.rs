//! The quota of a usage plan.

use serde::{Deserialize, Serialize};

use super::bad_request;
use super::usage::{Counts, Day};
use crate::error_response::ErrorResponse;

/// How many requests each key of a plan may send in a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Quota {
    pub(super) limit: u64,
    /// The day with which a period starts, counted from 0: Sunday, or the first of the month (DOC:
    /// `CloudFormation`). The API reference says that it is a number of requests (DOC); Terraform's
    /// checks agree with `CloudFormation` (SRC).
    #[serde(default)]
    pub(super) offset: u64,
    pub(super) period: Period,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Period {
    Day,
    Week,
    Month,
}

impl Quota {
    /// Checks the offset (SRC: Terraform's AWS provider has these limits and texts).
    pub(super) fn checked(self) -> Result<Quota, ErrorResponse> {
        let (last, message) = match self.period {
            Period::Day => (0, "Usage Plan quota offset must be zero in the DAY period"),
            Period::Week => (
                6,
                "Usage Plan quota offset must be between 0 and 6 inclusive in the WEEK period",
            ),
            Period::Month => (
                27,
                "Usage Plan quota offset must be between 0 and 27 inclusive in the MONTH period",
            ),
        };
        if self.offset > last {
            return Err(bad_request(message));
        }
        Ok(self)
    }

    /// Returns what is left at the end of a day, or now if that is today.
    ///
    /// The recorded numbers of one month go down from day to day (AWSV: floci-io/floci#3561).
    pub(super) fn remaining(&self, counts: &Counts, day: Day) -> u64 {
        let used: u64 = counts
            .range(self.start_of_period(day)..=day)
            .map(|(_, requests)| requests)
            .sum();
        self.limit.saturating_sub(used)
    }

    fn start_of_period(&self, day: Day) -> Day {
        let mut start = day;
        while !self.starts_with(start) {
            start = start.previous();
        }
        start
    }

    fn starts_with(&self, day: Day) -> bool {
        match self.period {
            Period::Day => true,
            Period::Week => day.of_week() == self.offset,
            Period::Month => day.of_month() == self.offset + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::parse(text).expect("the text is a date")
    }

    /// 2026-11-22 is a Sunday.
    #[test]
    fn period_starts_with_its_offset() {
        for (period, offset, start) in [
            (Period::Day, 0, "2026-11-25"),
            (Period::Week, 0, "2026-11-22"),
            (Period::Week, 3, "2026-11-25"),
            (Period::Week, 4, "2026-11-19"),
            (Period::Month, 0, "2026-11-01"),
            (Period::Month, 24, "2026-11-25"),
            (Period::Month, 27, "2026-10-28"),
        ] {
            let quota = Quota {
                limit: 1,
                offset,
                period,
            };
            let found = quota.start_of_period(day("2026-11-25"));
            assert_eq!(found, day(start), "{quota:?}");
        }
    }

    #[test]
    fn offset_beyond_period_is_refused() {
        for (period, last) in [(Period::Day, 0), (Period::Week, 6), (Period::Month, 27)] {
            let quota = |offset| Quota {
                limit: 1,
                offset,
                period,
            };
            assert!(quota(last).checked().is_ok());
            assert!(quota(last + 1).checked().is_err());
        }
    }

    #[test]
    fn remaining_counts_one_period_only() {
        let quota = Quota {
            limit: 10,
            offset: 0,
            period: Period::Month,
        };
        let counts = [("2026-10-31", 9), ("2026-11-01", 2), ("2026-11-02", 20)];
        let counts = counts.map(|(text, requests)| (day(text), requests)).into();
        assert_eq!(quota.remaining(&counts, day("2026-10-31")), 1);
        assert_eq!(quota.remaining(&counts, day("2026-11-01")), 8);
        assert_eq!(quota.remaining(&counts, day("2026-11-30")), 0);
        assert_eq!(quota.remaining(&counts, day("2026-12-01")), 10);
    }
}
