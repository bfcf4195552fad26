//! `pod.inspect().diagnose()`: the one place that decides what is wrong with a database, its pods and its calls.

mod calls;
mod clock;
mod database;
mod history;
mod limits;
mod pauses;
mod pods;
mod schema;

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::Inspector;
use crate::engine::readers::Readers;
use crate::error::StoreError;
use crate::moment::Moment;
use crate::store::{DatabaseSetting, MigrationRecord, PodRecord};

/// How serious a [`Finding`] is, the least serious first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// In order.
    Ok,
    /// Nothing is wrong, and an operator may want to know it.
    Note,
    /// Something is wrong, or will be.
    Warning,
    /// Calls do not run, or may be lost.
    Problem,
}

impl Severity {
    /// Returns the word for it, as shown and as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was checked: what was found, what that means, and what to do about it.
///
/// Its JSON has the fields' names as keys. Texts may hold names that other people chose: escape them where you show them.
///
/// ```
/// use futurecall_runtime::inspect::{Finding, Severity};
/// use futurecall_runtime::serde_json;
/// // A check of your own, to be shown beside the others.
/// let finding = Finding::ok("disk", "70 % free").figure("free_share", 0.7);
/// assert_eq!(finding.to_string(), "disk: 70 % free");
/// assert_eq!(serde_json::to_value(&finding).unwrap()["severity"], Severity::Ok.as_str());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What was checked, in kebab-case: `due-calls`, `unknown-names`. Stable: a program may compare it.
    pub code: &'static str,
    /// How serious it is.
    pub severity: Severity,
    /// What was found, for people.
    pub found: String,
    /// What that means, unless all is well.
    pub means: Option<&'static str>,
    /// What to do next, unless all is well.
    pub todo: Option<&'static str>,
    /// The figures behind it, by name: counts, and durations in seconds (`…_seconds`).
    pub figures: BTreeMap<&'static str, Value>,
}

impl Finding {
    /// Creates a finding that all is well.
    pub fn ok(code: &'static str, found: impl Into<String>) -> Self {
        let (means, todo) = (None, None);
        Self { code, severity: Severity::Ok, found: found.into(), means, todo, figures: BTreeMap::new() }
    }

    /// Creates a finding of that severity, with what it means and what to do next.
    pub fn new(
        severity: Severity,
        code: &'static str,
        found: impl Into<String>,
        means: &'static str,
        todo: &'static str,
    ) -> Self {
        Self { severity, means: Some(means), todo: Some(todo), ..Self::ok(code, found) }
    }

    /// Adds a figure.
    #[must_use]
    pub fn figure(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.figures.insert(name, value.into());
        self
    }

    fn warning(
        code: &'static str,
        found: impl Into<String>,
        means: &'static str,
        todo: &'static str,
    ) -> Self {
        Self::new(Severity::Warning, code, found, means, todo)
    }

    fn problem(
        code: &'static str,
        found: impl Into<String>,
        means: &'static str,
        todo: &'static str,
    ) -> Self {
        Self::new(Severity::Problem, code, found, means, todo)
    }

    /// Judges the steps of a schema, for programs that have no pod because the tables are missing.
    #[doc(hidden)]
    pub fn of_schema(steps: &[MigrationRecord]) -> Self {
        schema::examine(steps)
    }

    /// Judges the settings of a database, for programs that have no pod because the tables are missing.
    #[doc(hidden)]
    pub fn of_settings(database: &str, settings: Result<&[DatabaseSetting], &StoreError>) -> Vec<Self> {
        database::examine(database, settings)
    }
}

/// One line: `due-calls: 3 due, the oldest for 7 min 1 s. Calls wait …`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.found)?;
        self.means.map_or(Ok(()), |means| write!(f, ". {means}"))?;
        self.todo.map_or(Ok(()), |todo| write!(f, " {todo}"))
    }
}

/// What [`Inspector::diagnose`] found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// One for each check, in a fixed order, the ones in order included. A code may stand there more than once.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// Returns the severity of the most serious finding.
    pub fn severity(&self) -> Severity {
        self.findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok)
    }
}

impl Inspector {
    /// Checks the database's settings, schema and clock, the pods, the calls, the pauses and the history.
    ///
    /// It can be asked of any pod, also of one that runs nothing, as that of the command line. `futurecall doctor` and the
    /// dashboard's health page show what this returns, and decide nothing themselves. It looks at a bounded number of calls,
    /// and at all schedules.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
    /// use std::time::Duration;
    /// use futurecall_runtime::inspect::Severity;
    /// use futurecall_runtime::{Pod, Role};
    /// # let pod = Pod::builder().database_url("memory:").without_discovery().role(Role::Serverless).start().await?;
    /// pod.future_call_with_delay("mail.send", Some(&7), Duration::ZERO).await?;
    ///
    /// let diagnosis = pod.inspect().diagnose().await?;
    /// let pods = diagnosis.findings.iter().find(|finding| finding.code == "pods").expect("it is always checked");
    /// assert_eq!((pods.severity, pods.found.as_str()), (Severity::Warning, "none is alive"));
    /// assert_eq!(pods.figures["live"], 0);
    /// assert!(diagnosis.severity() >= Severity::Warning);
    /// # pod.shutdown().await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The database could not be asked. Its settings and its schema are findings even so.
    pub async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        let settings = self.settings().await;
        let mut findings = vec![Finding::ok("connection", self.database())];
        findings.extend(database::examine(self.database(), settings.as_deref()));
        findings.push(clock::examine(self).await?);
        findings.push(schema::examine(&self.migrations().await?));
        let ground = Ground::of(self).await?;
        findings.extend(pods::examine(&ground));
        findings.extend(calls::running(&ground).await?);
        findings.push(calls::due(&ground).await?);
        findings.push(calls::unknown(&ground).await?);
        findings.push(calls::broken(&ground).await?);
        findings.push(pauses::names(&ground).await?);
        findings.push(pauses::schedules(&ground).await?);
        findings.extend(history::examine(&ground).await?);
        Ok(Diagnosis { findings })
    }

    /// Returns what stands in the way of calls now: those findings of [`diagnose`](Self::diagnose) about pods, due calls,
    /// unknown names and paused names that are not in order. Cheap enough for a page that is opened often.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
    /// use futurecall_runtime::{Pod, Role};
    /// # let pod = Pod::builder().database_url("memory:").without_discovery().role(Role::Serverless).start().await?;
    /// let codes: Vec<_> = pod.inspect().alerts().await?.findings.iter().map(|finding| finding.code).collect();
    /// assert_eq!(codes, ["pods"]);
    /// # pod.shutdown().await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The database could not be asked.
    pub async fn alerts(&self) -> Result<Diagnosis, StoreError> {
        let ground = Ground::of(self).await?;
        let mut findings = pods::examine(&ground);
        findings.push(calls::due(&ground).await?);
        findings.push(calls::unknown(&ground).await?);
        findings.push(pauses::names(&ground).await?);
        findings.retain(|finding| finding.severity > Severity::Ok);
        Ok(Diagnosis { findings })
    }
}

/// What several checks need.
struct Ground<'a> {
    inspector: &'a Inspector,
    now: Moment,
    /// The pods that are alive and run calls.
    runners: Readers,
}

impl<'a> Ground<'a> {
    async fn of(inspector: &'a Inspector) -> Result<Self, StoreError> {
        let runners = Readers::new(inspector.pods().await?);
        Ok(Self { inspector, now: inspector.now().await?, runners })
    }

    fn runners(&self) -> &[PodRecord] {
        self.runners.pods()
    }

    fn knows(&self, name: &str) -> bool {
        self.runners().iter().any(|pod| pod.names.iter().any(|known| known == name))
    }
}

/// Returns the first few of some names, and how many more there are.
fn some_of<T: fmt::Display>(names: impl ExactSizeIterator<Item = T>) -> String {
    let more = names.len().saturating_sub(limits::SHOWN);
    let shown: Vec<String> = names.take(limits::SHOWN).map(|name| format!("{name}")).collect();
    let mut text = shown.join(", ");
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}

/// Returns a figure that was counted up to a cap.
fn capped(count: u64, cap: u64) -> String {
    if count >= cap { format!("{cap} or more") } else { count.to_string() }
}
