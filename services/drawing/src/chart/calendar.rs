//! [`Date`]: seconds since 1970 as people write them. UTC alone, by the Gregorian calendar.

pub(super) const DAY: u64 = 24 * 3600;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A day and a time of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: u64,
    /// From 1 to 12.
    pub(super) month: u64,
    /// From 1.
    pub(super) day: u64,
    /// Days since 1970-01-01.
    pub(super) days: u64,
    second: u64,
}

impl Date {
    /// The date at a time in seconds since 1970-01-01 00:00 UTC.
    pub(super) fn at(seconds: u64) -> Date {
        let days = seconds / DAY;
        // Howard Hinnant's `civil_from_days`, for days since 1970 only: a year begins in March, and 400 of them are an era.
        let since_era_zero = days + 719_468;
        let (era, day_of_era) = (since_era_zero / 146_097, since_era_zero % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        Date { year, month, day, days, second: seconds % DAY }
    }

    /// The first moment of a month; months beyond the twelfth are those of later years.
    pub(super) fn month_start(year: u64, month: u64) -> u64 {
        let (year, month) = (year + (month - 1) / 12, (month - 1) % 12 + 1);
        // The inverse of the above, for the first of a month.
        let year = if month <= 2 { year - 1 } else { year };
        let (era, year_of_era) = (year / 400, year % 400);
        let month_from_march = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * month_from_march + 2) / 5;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        (era * 146_097 + day_of_era).saturating_sub(719_468) * DAY
    }

    /// "14:05".
    pub(super) fn time(self) -> String {
        format!("{:02}:{:02}", self.second / 3600, self.second / 60 % 60)
    }

    /// "Mon 3".
    pub(super) fn weekday(self) -> String {
        format!("{} {}", WEEKDAYS[(self.days % 7) as usize], self.day)
    }

    /// "Mar".
    pub(super) fn month_name(self) -> &'static str {
        MONTHS[(self.month - 1) as usize]
    }

    /// Whether it is a Monday.
    pub(super) fn is_monday(self) -> bool {
        self.days % 7 == 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, year, month, text) in [
            (0, 1970, 1, "Thu 1 Jan 00:00"),
            (951_782_400, 2000, 2, "Tue 29 Feb 00:00"),
            (951_868_800, 2000, 3, "Wed 1 Mar 00:00"),
            (1_764_079_500, 2025, 11, "Tue 25 Nov 14:05"),
            (4_107_542_399, 2100, 2, "Sun 28 Feb 23:59"),
            (4_107_542_400, 2100, 3, "Mon 1 Mar 00:00"),
        ] {
            let date = Date::at(seconds);
            let written = format!("{} {} {}", date.weekday(), date.month_name(), date.time());
            assert_eq!((date.year, date.month, &*written), (year, month, text), "{seconds}");
        }
    }

    #[test]
    fn months_begin_on_their_first() {
        for year in [1970, 1999, 2000, 2024, 2100] {
            for month in 1..=12 {
                let (begin, next) = (Date::month_start(year, month), Date::month_start(year, month + 1));
                let (first, last) = (Date::at(begin), Date::at(next - 1));
                assert_eq!((first.year, first.month, first.day, first.time()), (year, month, 1, "00:00".to_owned()));
                assert_eq!((last.year, last.month, last.time()), (year, month, "23:59".to_owned()));
            }
        }
        assert!(Date::at(4 * DAY).is_monday());
    }
}
