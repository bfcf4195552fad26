//! The filter of the list of calls, read from a query or form and written back to one.

use futurecall_runtime::chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::{CallState, Moment, PodId, ScheduleId};
use maud::{Markup, html};

use crate::error_page::Failure;
use crate::params::{Params, Query};

/// The conditions that listed calls meet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) state: Option<StateChoice>,
    pub(crate) name: Option<String>,
    pub(crate) identifier: Option<String>,
    pub(crate) schedule: Option<ScheduleId>,
    pub(crate) pod: Option<PodId>,
    pub(crate) since: Option<Moment>,
    pub(crate) until: Option<Moment>,
    pub(crate) error: Option<String>,
}

/// A tab of the list: a state, or the due part of the scheduled ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateChoice {
    /// Scheduled, with a due time that has passed.
    Due,
    State(CallState),
}

impl StateChoice {
    pub(crate) const ALL: [Self; 9] = [
        Self::State(CallState::Scheduled),
        Self::Due,
        Self::State(CallState::Running),
        Self::State(CallState::Succeeded),
        Self::State(CallState::Failed),
        Self::State(CallState::Interrupted),
        Self::State(CallState::Cancelled),
        Self::State(CallState::Expired),
        Self::State(CallState::Skipped),
    ];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::State(state) => state.as_str(),
        }
    }

    pub(crate) const fn state(self) -> CallState {
        match self {
            Self::Due => CallState::Scheduled,
            Self::State(state) => state,
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.word() == word)
    }
}

impl Conditions {
    pub(crate) fn read(params: &Params) -> Result<Self, Failure> {
        let state = params.get("state").filter(|word| *word != "all").map(|word| {
            StateChoice::of(word).ok_or_else(|| {
                let words = StateChoice::ALL.map(StateChoice::word).join(", ");
                Failure::Bad(format!("`state` must be one of {words}, not {word}"))
            })
        });
        let text = |name: &str| params.get(name).map(str::to_owned);
        Ok(Self {
            state: state.transpose()?,
            name: text("name"),
            identifier: text("identifier"),
            schedule: params.read("schedule", "schedule id")?,
            pod: params.read("pod", "pod id")?,
            since: moment(params, "since")?,
            until: moment(params, "until")?,
            error: text("error"),
        })
    }

    /// Returns the filter as the runtime takes it.
    pub(crate) fn filter(&self, now: Moment) -> CallFilter {
        let mut filter = CallFilter::new();
        filter.state = self.state.map(StateChoice::state);
        filter.name.clone_from(&self.name);
        filter.identifier.clone_from(&self.identifier);
        (filter.schedule, filter.pod) = (self.schedule, self.pod);
        (filter.since, filter.until) = (self.since, self.until);
        filter.error.clone_from(&self.error);
        if self.state == Some(StateChoice::Due) {
            // `until` is exclusive, and a call due in this very microsecond is due.
            let end = Moment::from_micros(now.as_micros().saturating_add(1)).unwrap_or(Moment::MAX);
            filter.until = Some(self.until.map_or(end, |until| until.min(end)));
        }
        filter
    }

    /// Returns whether there is any condition besides the state.
    pub(crate) fn narrows(&self) -> bool {
        self.schedule.is_some() || self.details() || self.name.is_some() || self.identifier.is_some()
    }

    /// Returns whether there is a condition from the folded part of the form.
    pub(crate) fn details(&self) -> bool {
        self.pod.is_some() || self.since.is_some() || self.until.is_some() || self.error.is_some()
    }

    /// Returns whether an index answers it; `pod` and `error` may need a scan of every call.
    pub(crate) fn is_cheap(&self) -> bool {
        self.pod.is_none() && self.error.is_none()
    }

    fn fields(&self) -> [(&'static str, Option<String>); 8] {
        [
            ("state", self.state.map(|choice| choice.word().to_owned())),
            ("name", self.name.clone()),
            ("identifier", self.identifier.clone()),
            ("schedule", self.schedule.map(|id| id.to_string())),
            ("pod", self.pod.map(|id| id.to_string())),
            ("since", self.since.map(|moment| moment.to_string())),
            ("until", self.until.map(|moment| moment.to_string())),
            ("error", self.error.clone()),
        ]
    }

    /// Returns the conditions as a query.
    pub(crate) fn query(&self) -> Query {
        self.fields().into_iter().fold(Query::new(), |query, (name, value)| query.maybe(name, value))
    }

    /// Renders the conditions as hidden fields.
    pub(crate) fn hidden(&self) -> Markup {
        html! { @for (name, value) in self.fields() {
            @if let Some(value) = value { input type="hidden" name=(name) value=(value); }
        } }
    }

    /// Returns the same conditions with another state.
    pub(crate) fn in_state(&self, state: Option<StateChoice>) -> Self {
        Self { state, ..self.clone() }
    }

    /// Returns the conditions that are set, by name.
    pub(crate) fn entries(&self) -> Vec<(&'static str, String)> {
        self.fields().into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect()
    }
}

/// Reads a time as written by a `datetime-local` field (in UTC), or as RFC 3339.
pub(crate) fn moment(params: &Params, name: &str) -> Result<Option<Moment>, Failure> {
    params.get(name).map(|text| {
        read_moment(text.trim()).ok_or_else(|| {
            Failure::Bad(format!("`{name}` is not a time: write 2026-12-31T23:59 (UTC), or with an offset 2026-12-31T23:59:00+01:00"))
        })
    }).transpose()
}

fn read_moment(text: &str) -> Option<Moment> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Moment::try_from(time).ok();
    }
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
    let time = formats.into_iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|day| day.and_time(NaiveTime::MIN));
    time.or_else(day).and_then(|time| Moment::try_from(time.and_utc()).ok())
}

/// Returns a time as a `datetime-local` field reads it.
pub(crate) fn field_value(moment: Moment) -> String {
    moment.to_utc().format("%Y-%m-%dT%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::{Conditions, Params, read_moment};

    #[test]
    fn a_filter_round_trips() {
        let text = "state=due&name=a.b&identifier=%3Cb%3E&since=2026-01-01&error=x";
        let conditions = Conditions::read(&Params::parse(text.as_bytes()).unwrap()).unwrap();
        let again = Conditions::read(&Params::parse(conditions.query().text().as_bytes()).unwrap()).unwrap();
        assert_eq!(format!("{conditions:?}"), format!("{again:?}"));
        assert_eq!(conditions.identifier.as_deref(), Some("<b>"));
        for bad in ["state=sleeping", "pod=7", "since=yesterday", "schedule=%3Cscript%3E"] {
            assert!(Conditions::read(&Params::parse(bad.as_bytes()).unwrap()).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_read_as_people_and_browsers_write_them() {
        let read = |text| read_moment(text).map(|moment| moment.to_string());
        let noon = Some("2026-07-01T12:00:00.000000Z".to_owned());
        for text in [
            "2026-07-01T12:00",
            "2026-07-01T12:00:00",
            "2026-07-01 12:00",
            "2026-07-01T14:00:00+02:00",
            "2026-07-01T12:00:00Z",
        ] {
            assert_eq!(read(text), noon, "{text}");
        }
        assert_eq!(read("2026-07-01").as_deref(), Some("2026-07-01T00:00:00.000000Z"));
        assert_eq!((read("noon"), read("1960-01-01"), read("")), (None, None, None));
    }
}
