//! The placeholders and their names.

use jiff::{Timestamp, civil::Weekday, tz::TimeZone};

/// One placeholder. Names and meanings: [`Placeholder::NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// The table's name.
    Table,
    /// The table's name with `-` for `_`.
    TableHyphen,
    /// The run: CloudQuery's SYNC_ID names one execution.
    SyncId,
    /// Name of the resource: what dlt calls the schema.
    SchemaName,
    /// Run and epoch: what dlt calls a load package.
    LoadId,
    /// The extension with compression: `csv.gz`.
    Extension,
    /// A UUID of this file alone.
    Uuid,
    /// 20 hexadecimal digits of this file alone (dlt's have 10, too few to be unique by themselves).
    FileId,
    /// The input object's directories, without the last `/`.
    SourceDir,
    /// The input object's name without format and compression extensions.
    SourceStem,
    /// The epoch's number.
    Epoch,
    /// The shard's number, at least five digits.
    Shard,
    /// Counts the files of one shard, table and partition, at least five digits.
    Seq,
    /// The hive directories.
    Partition,
    /// A part of the plan's time.
    Time(TimeToken),
}

/// A part of the plan's time, in UTC. dlt formats by pendulum's tokens and lower-cases the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeToken {
    /// `2024`
    Year,
    /// `24`
    YearShort,
    /// `january`
    MonthName,
    /// `jan`
    MonthShort,
    /// `01`
    MonthPadded,
    /// `1`
    Month,
    /// `05`
    DayPadded,
    /// `5`
    Day,
    /// `07`
    HourPadded,
    /// `7`
    Hour,
    /// `09`
    MinutePadded,
    /// `9`
    Minute,
    /// `03`
    SecondPadded,
    /// `3`
    Second,
    /// The first digits of the fraction of a second, so many.
    Fraction(u32),
    /// `monday`
    WeekdayName,
    /// `mon`
    WeekdayShort,
    /// `mo`
    WeekdayTwo,
    /// `0` on Sunday to `6` on Saturday
    Weekday,
    /// `1` to `4`
    Quarter,
    /// `2024-01-31`
    Date,
    /// Seconds since 1970
    UnixSeconds,
    /// Milliseconds since 1970
    UnixMilliseconds,
}

use Placeholder as P;
use TimeToken as T;

impl Placeholder {
    /// Every placeholder as it is written.
    pub const NAMES: [(&'static str, Placeholder); 50] = [
        // CloudQuery's: numbers of two digits.
        ("{{TABLE}}", P::Table),
        ("{{TABLE_HYPHEN}}", P::TableHyphen),
        ("{{SYNC_ID}}", P::SyncId),
        ("{{FORMAT}}", P::Extension),
        ("{{UUID}}", P::Uuid),
        ("{{YEAR}}", P::Time(T::Year)),
        ("{{MONTH}}", P::Time(T::MonthPadded)),
        ("{{DAY}}", P::Time(T::DayPadded)),
        ("{{HOUR}}", P::Time(T::HourPadded)),
        ("{{MINUTE}}", P::Time(T::MinutePadded)),
        // Ours.
        ("{{SOURCE_DIR}}", P::SourceDir),
        ("{{SOURCE_STEM}}", P::SourceStem),
        ("{{EPOCH}}", P::Epoch),
        ("{{SHARD}}", P::Shard),
        ("{{SEQ}}", P::Seq),
        ("{{PARTITION}}", P::Partition),
        // dlt's. A plan is the load package, so its time is both the current time and the package's.
        ("{table_name}", P::Table),
        ("{schema_name}", P::SchemaName),
        ("{load_id}", P::LoadId),
        ("{file_id}", P::FileId),
        ("{ext}", P::Extension),
        ("{curr_date}", P::Time(T::Date)),
        ("{timestamp}", P::Time(T::UnixSeconds)),
        ("{timestamp_ms}", P::Time(T::UnixMilliseconds)),
        ("{load_package_timestamp}", P::Time(T::UnixSeconds)),
        ("{load_package_timestamp_ms}", P::Time(T::UnixMilliseconds)),
        ("{YYYY}", P::Time(T::Year)),
        ("{YY}", P::Time(T::YearShort)),
        ("{Y}", P::Time(T::Year)),
        ("{MMMM}", P::Time(T::MonthName)),
        ("{MMM}", P::Time(T::MonthShort)),
        ("{MM}", P::Time(T::MonthPadded)),
        ("{M}", P::Time(T::Month)),
        ("{DD}", P::Time(T::DayPadded)),
        ("{D}", P::Time(T::Day)),
        ("{HH}", P::Time(T::HourPadded)),
        ("{H}", P::Time(T::Hour)),
        ("{mm}", P::Time(T::MinutePadded)),
        ("{m}", P::Time(T::Minute)),
        ("{ss}", P::Time(T::SecondPadded)),
        ("{s}", P::Time(T::Second)),
        ("{SSSS}", P::Time(T::Fraction(4))),
        ("{SSS}", P::Time(T::Fraction(3))),
        ("{SS}", P::Time(T::Fraction(2))),
        ("{S}", P::Time(T::Fraction(1))),
        ("{dddd}", P::Time(T::WeekdayName)),
        ("{ddd}", P::Time(T::WeekdayShort)),
        ("{dd}", P::Time(T::WeekdayTwo)),
        ("{d}", P::Time(T::Weekday)),
        ("{Q}", P::Time(T::Quarter)),
    ];

    /// The placeholder that is written so, braces included, and its name.
    pub(super) fn named(written: &str) -> Option<(&'static str, Placeholder)> {
        Self::NAMES.into_iter().find(|(name, _)| *name == written)
    }

    /// The known placeholder most like an unknown one; `None` when none is like it. Braces and case count least.
    pub fn nearest(written: &str) -> Option<&'static str> {
        let bare = |text: &str| text.trim_matches(['{', '}']).trim().to_ascii_lowercase();
        let wanted = bare(written);
        let double = written.starts_with("{{");
        Self::NAMES
            .iter()
            .map(|(name, _)| (strsim::jaro_winkler(&wanted, &bare(name)), double == name.starts_with("{{"), *name))
            .filter(|(likeness, _, _)| *likeness > 0.8)
            .max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
            .map(|(_, _, name)| name)
    }
}

impl TimeToken {
    /// The token's text at an instant.
    pub fn render(self, at: Timestamp) -> String {
        let time = at.to_zoned(TimeZone::UTC).datetime();
        let weekday = weekday(time.weekday());
        match self {
            T::Year => time.year().to_string(),
            T::YearShort => format!("{:02}", time.year().rem_euclid(100)),
            T::MonthName => month(time.month()).to_owned(),
            T::MonthShort => month(time.month())[..3].to_owned(),
            T::MonthPadded => format!("{:02}", time.month()),
            T::Month => time.month().to_string(),
            T::DayPadded => format!("{:02}", time.day()),
            T::Day => time.day().to_string(),
            T::HourPadded => format!("{:02}", time.hour()),
            T::Hour => time.hour().to_string(),
            T::MinutePadded => format!("{:02}", time.minute()),
            T::Minute => time.minute().to_string(),
            T::SecondPadded => format!("{:02}", time.second()),
            T::Second => time.second().to_string(),
            T::Fraction(digits) => format!("{:09}", time.subsec_nanosecond())[..digits as usize].to_owned(),
            T::WeekdayName => weekday.to_owned(),
            T::WeekdayShort => weekday[..3].to_owned(),
            T::WeekdayTwo => weekday[..2].to_owned(),
            T::Weekday => time.weekday().to_sunday_zero_offset().to_string(),
            T::Quarter => ((time.month() + 2) / 3).to_string(),
            T::Date => time.date().to_string(),
            T::UnixSeconds => at.as_second().to_string(),
            T::UnixMilliseconds => at.as_millisecond().to_string(),
        }
    }
}

fn month(number: i8) -> &'static str {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    NAMES[usize::from(number.unsigned_abs()) - 1]
}

fn weekday(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "monday",
        Weekday::Tuesday => "tuesday",
        Weekday::Wednesday => "wednesday",
        Weekday::Thursday => "thursday",
        Weekday::Friday => "friday",
        Weekday::Saturday => "saturday",
        Weekday::Sunday => "sunday",
    }
}
