//! Bugs found in other job systems: one test each, so that none of them appears here.
//!
//! | seen in | test |
//! | --- | --- |
//! | Solid Queue #589, #761 | `vanished::a_pod_wrongly_taken_for_dead_changes_nothing_and_frees_its_slot_once`, `a_handler_that_is_stopped_frees_its_slot_once` |
//! | Oban #862 | `vanished::a_restart_under_the_same_host_name_finds_its_orphans` |
//! | procrastinate #1518 | `vanished::a_rescue_needs_no_row_of_a_pod` |
//! | hexpm #1825 (Oban's Lifeline) | `leases::a_handler_longer_than_ten_leases_runs_once` |
//! | River #1258 | `vanished::no_call_runs_for_ever` |
//! | River #1358 | `outages::a_cancellation_is_heard_without_notifications` |
//! | River #1059, Oban #1030 | `together::maintenance_under_load_meets_no_deadlock` |
//! | Hangfire.PostgreSql #410, matrix-authentication-service #2625 | `outages::ten_lost_connections_later_calls_start_as_promptly_as_before` |
//! | GoodJob #90 | `leases::no_session_of_the_database_owns_a_call` |
//! | DotNetWorkQueue #294, #303 | `leases::a_handler_that_never_yields_keeps_its_lease` |
//! | Sidekiq 8.1.3 | `together::a_storm_of_shutdowns_runs_nothing_twice` |
//! | Oban 2.23 | `outages::a_long_outage_fills_no_log` |
//! | pg-boss (a sweep of its audit) | `outages::an_outage_ends_no_process` |
//! | DBOS, FoundationDB | `unknown::an_unknown_commit_doubles_nothing`, `a_claim_that_commits_late_is_given_back` |
//! | apalis-sqlite #75 | `together::two_types_of_calls_in_one_store_stay_apart` |
//! | SQLite's "How To Corrupt", 2.4 | `files::a_file_that_was_deleted_under_a_pod_takes_no_more_calls`, `a_file_that_was_replaced_under_a_pod_takes_no_more_calls_until_it_is_back`, `a_log_that_was_deleted_under_a_pod_is_saved_by_its_shutdown` |

mod denied;
mod files;
mod leases;
mod outages;
mod support;
mod together;
mod unknown;
mod vanished;
