//! The options of a recurring rule.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use futurecall_runtime::recurring::{Missed, Overlap};
use futurecall_runtime::recurring::{Recurrence, Rule};
use futurecall_runtime::schedule::ToMoment;

use crate::exit::Failure;
use crate::time_arguments::{moment, span_of};

/// An interval or a cron expression. Options that are not given remain unchanged.
#[derive(Clone, Debug, Args)]
pub(crate) struct RuleArgs {
    /// Interval: 15m, 1h 30m
    #[arg(long, value_name = "DURATION", value_parser = span_of, conflicts_with_all = ["cron", "time_zone"])]
    every: Option<Duration>,
    /// Cron expression: "30 2 * * MON-FRI"
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// Time zone of the cron expression: Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Start of the rule: 2027-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    starting_at: Option<DateTime<Utc>>,
    /// Missed runs: run-once (one run for all of them), skip (none) or run-all (each)
    #[arg(long, value_enum, value_name = "POLICY", hide_possible_values = true)]
    missed: Option<MissedWord>,
    /// Runs that are due while the previous one is running: skip or allow
    #[arg(long, value_enum, value_name = "POLICY", hide_possible_values = true)]
    overlap: Option<OverlapWord>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MissedWord {
    /// One run for all missed ones
    RunOnce,
    /// No missed run
    Skip,
    /// Each missed run
    RunAll,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OverlapWord {
    /// Skip the run
    Skip,
    /// Run both
    Allow,
}

impl RuleArgs {
    /// Returns the rule that replaces `present`.
    pub(crate) fn rule(&self, present: &Rule) -> Result<Rule, Failure> {
        let mut rule = self.recurrence(present)?;
        rule.missed = self.missed.map_or(present.missed, |missed| match missed {
            MissedWord::RunOnce => Missed::RunOnce,
            MissedWord::Skip => Missed::Skip,
            MissedWord::RunAll => Missed::RunAll,
        });
        rule.overlap = self.overlap.map_or(present.overlap, |overlap| match overlap {
            OverlapWord::Skip => Overlap::Skip,
            OverlapWord::Allow => Overlap::Allow,
        });
        if let Some(start) = self.starting_at {
            rule = rule.starting_at(start.to_moment().map_err(|error| Failure::usage(format!("{error}")))?);
        }
        if rule == *present {
            return Err(Failure::usage(
                "this rule is in effect already: give --every, --cron, --missed or --overlap",
            ));
        }
        Ok(rule)
    }

    fn recurrence(&self, present: &Rule) -> Result<Rule, Failure> {
        let (expression, zone) = match &present.recurrence {
            Recurrence::Cron { expression, time_zone, .. } => (Some(expression.as_str()), time_zone.as_str()),
            _ => (None, "UTC"),
        };
        let made = match (&self.every, self.cron.as_deref(), self.time_zone.as_deref()) {
            (Some(interval), ..) => Rule::every(*interval),
            (None, None, None) => return Ok(present.clone()),
            (None, given, given_zone) => {
                let expression = given
                    .or(expression)
                    .ok_or_else(|| Failure::usage("an interval has no time zone: give --cron as well"))?;
                Rule::cron(expression, given_zone.unwrap_or(zone))
            }
        };
        made.map_err(Failure::usage)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        rule: RuleArgs,
    }

    fn typed(words: &str, present: &Rule) -> Result<Rule, Failure> {
        let words = std::iter::once("edit").chain(words.split_terminator('|'));
        Typed::try_parse_from(words).unwrap().rule.rule(present)
    }

    #[test]
    fn options_that_are_not_given_remain() {
        let mut present = Rule::cron("0 7 * * *", "Europe/Berlin").unwrap();
        present.missed = Missed::Skip;
        let edited = typed("--cron|0 8 * * *", &present).unwrap();
        let mut expected = Rule::cron("0 8 * * *", "Europe/Berlin").unwrap();
        expected.missed = Missed::Skip;
        assert_eq!(edited, expected);
        assert_eq!(typed("--every|1h", &present).unwrap().missed, Missed::Skip);
        assert_eq!(typed("--overlap|allow", &present).unwrap().recurrence, present.recurrence);
    }

    #[test]
    fn invalid_rules_are_refused() {
        let hourly = Rule::every(Duration::from_hours(1)).unwrap();
        for (words, part) in [
            ("", "in effect"),
            ("--every|1h", "in effect"),
            ("--time-zone|UTC", "give --cron"),
            ("--cron|0 25 * * *", "not an hour"),
        ] {
            let failure = typed(words, &hourly).unwrap_err();
            assert!(failure.to_string().contains(part), "{failure}");
        }
    }
}
