//! What is said of a cron rule: never something else than what it does.

use super::cron;

#[track_caller]
fn says(expression: &str, expected: &str) {
    assert_eq!(cron(expression, "UTC").describe(), format!("{expected} (UTC)"), "{expression}");
}

#[test]
fn special_days_are_said_in_words() {
    says("0 0 L * *", "At 00:00, on the last day of the month");
    says("0 0 LW * *", "At 00:00, on the last weekday (Monday to Friday) of the month");
    says("0 0 lw * *", "At 00:00, on the last weekday (Monday to Friday) of the month");
    says("0 0 1,LW * *", "At 00:00, on day 1 and the last weekday (Monday to Friday) of the month");
    says("0 0 15W * *", "At 00:00, on the weekday (Monday to Friday) nearest day 15");
    says("0 0 1W,15W * *", "At 00:00, on the weekday (Monday to Friday) nearest day 1 and 15");
    says(
        "0 0 15W,LW * *",
        "At 00:00, on the last weekday (Monday to Friday) of the month and the weekday (Monday to Friday) nearest day 15",
    );
    says("0 0 * * 5L", "At 00:00, on the last Friday of the month");
    says("0 0 * * 7L", "At 00:00, on the last Sunday of the month");
    says("0 0 * * FRI#2", "At 00:00, on the 2nd Friday of the month");
    says(
        "0 0 LW * 5L",
        "At 00:00, on the last weekday (Monday to Friday) of the month or the last Friday of the month",
    );
}

#[test]
fn both_day_fields_say_whether_one_is_enough() {
    says("0 0 13 * FRI", "At 00:00, on day 13 or Friday");
    says("0 0 13 * +FRI", "At 00:00, on day 13 (if it is also Friday)");
    says("0 0 */10 * FRI", "At 00:00, on day 1, 11, 21, and 31 (if it is also Friday)");
    says("0 0 1 * */3", "At 00:00, on day 1 (if it is also Sunday, Wednesday, and Saturday)");
}

#[test]
fn steps_are_said_only_where_they_go_round() {
    says("*/15 * * * *", "At every 15 minutes");
    says("*/7 * * * *", "At minute 0, 7, 14, 21, 28, 35, 42, 49, and 56 past every hour");
    says("0-30/10 * * * *", "At minute 0, 10, 20, and 30 past every hour");
    says("*/15,7 * * * *", "At minute 0, 7, 15, 30, and 45 past every hour");
    says("7,*/15 * * * *", "At minute 0, 7, 15, 30, and 45 past every hour");
    says("0 */2 * * *", "At minute 0, of every 2 hours");
    says("0 */5 * * *", "At minute 0, of hour 0, 5, 10, 15, and 20");
    says("0 0-12/4 * * *", "At minute 0, of hour 0, 4, 8, and 12");
    says("*/20 0 2 * * *", "At 02:00, every 20 seconds");
    says("*/25 0 2 * * *", "At 02:00, at second 0, 25, and 50");
    says("0-40/20 0 2 * * *", "At 02:00, at second 0, 20, and 40");
    says("0 0 1 */3 *", "At 00:00, on day 1, in every 3 months");
    says("0 0 1 */5 *", "At 00:00, on day 1, in January, June, and November");
    says("0 0 1 2-8/3 *", "At 00:00, on day 1, in February, May, and August");
}

#[test]
fn lists_names_and_ranges_are_said_once() {
    says("0 0 * * SUN,7", "At 00:00, on Sunday");
    says("0 0 * * 0-7", "At 00:00, on Sunday, Monday, Tuesday, Wednesday, Thursday, Friday, and Saturday");
    says("0 0 * * MON-FRI", "At 00:00, on Monday, Tuesday, Wednesday, Thursday, and Friday");
    says("0 0 * * 5-7", "At 00:00, on Sunday, Friday, and Saturday");
    says("0 0 * jan,DEC *", "At 00:00, in January and December");
    says("0 0 1-31 * *", "At 00:00, on day 1-31");
    // Ranges do not wrap: they are refused, and the text says what to write.
    for wrapping in ["0 22-2 * * *", "0 0 * * FRI-MON", "0 0 28-3 * *", "0 0 * NOV-FEB *"] {
        let refused = crate::recurring::Rule::cron(wrapping, "UTC").unwrap_err().to_string();
        assert!(refused.contains("an upward range"), "{refused}");
    }
    // The last day would be lost beside the last weekday.
    let refused = crate::recurring::Rule::cron("0 0 L,LW * *", "UTC").unwrap_err().to_string();
    assert!(refused.contains("`L` and `LW` cannot stand in one list"), "{refused}");
}
