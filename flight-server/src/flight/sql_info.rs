//! What the server says of itself: every SqlInfo code that the protocol defines, and the types it has.
//!
//! Invariants
//! * Answers are about this server and its engine; where there is no limit the answer is 0, as the protocol says.
//! * Every value has the type that the protocol prescribes for its code: drivers read blindly.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use arrow_flight::sql::metadata::{
    SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    Nullable, Searchable, SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity,
    SqlSupportedGroupBy, SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries,
    SqlSupportedTransaction, SqlSupportedUnions, SqlSupportsConvert, SqlTransactionIsolationLevel, SupportedSqlGrammar,
    XdbcDataType, XdbcDatetimeSubcode,
};
use ingot_query::registry::IDLE_MAX;
use tonic::Status;

/// Words that the dialect reserves and SQL:2003 does not.
const KEYWORDS: &[&str] =
    &["EXCLUDE", "ILIKE", "LIMIT", "OFFSET", "QUALIFY", "REGEXP", "RLIKE", "STREAM", "TOP", "UNNEST"];
const NUMERIC: &[&str] = &[
    "ABS", "ACOS", "ASIN", "ATAN", "ATAN2", "CEILING", "COS", "COT", "DEGREES", "EXP", "FLOOR", "LOG", "LOG10", "PI",
    "POWER", "RADIANS", "RANDOM", "ROUND", "SIGN", "SIN", "SQRT", "TAN", "TRUNCATE",
];
const STRING: &[&str] = &[
    "ASCII",
    "CHAR_LENGTH",
    "CHR",
    "CONCAT",
    "LCASE",
    "LEFT",
    "LENGTH",
    "LOWER",
    "LTRIM",
    "POSITION",
    "REPEAT",
    "REPLACE",
    "RIGHT",
    "RTRIM",
    "SUBSTRING",
    "UPPER",
];
const SYSTEM: &[&str] = &["COALESCE", "NULLIF", "NVL", "VERSION"];
const DATETIME: &[&str] =
    &["CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "DATE_PART", "DATE_TRUNC", "EXTRACT", "NOW", "TO_TIMESTAMP"];

/// A bit for each variant, as the protocol packs enumerations.
fn bits(variants: &[i32]) -> i32 {
    variants.iter().fold(0, |all, v| all | (1 << v))
}

fn build() -> Result<SqlInfoData, Status> {
    let mut info = SqlInfoDataBuilder::new();
    about_the_server(&mut info);
    about_the_language(&mut info);
    about_results(&mut info);
    info.build().map_err(Status::from)
}

fn about_the_server(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::FlightSqlServerName, "Ingot");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
    info.append(SqlInfo::FlightSqlServerReadOnly, true);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerSubstraitMinVersion, "");
    info.append(SqlInfo::FlightSqlServerSubstraitMaxVersion, "");
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, i32::try_from(IDLE_MAX.as_millis()).unwrap_or(0));
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
    for none in [SqlInfo::SqlDdlCatalog, SqlInfo::SqlDdlSchema, SqlInfo::SqlDdlTable] {
        info.append(none, false);
    }
}

fn about_the_language(info: &mut SqlInfoDataBuilder) {
    // Unquoted names fold to lower case, quoted ones stay; the protocol has no better word for the latter.
    info.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    info.append(SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32);
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    info.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    info.append(SqlInfo::SqlKeywords, KEYWORDS);
    info.append(SqlInfo::SqlNumericFunctions, NUMERIC);
    info.append(SqlInfo::SqlStringFunctions, STRING);
    info.append(SqlInfo::SqlSystemFunctions, SYSTEM);
    info.append(SqlInfo::SqlDatetimeFunctions, DATETIME);
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlExtraNameCharacters, "");
    for yes in [
        SqlInfo::SqlSupportsColumnAliasing,
        SqlInfo::SqlNullPlusNullIsNull,
        SqlInfo::SqlSupportsTableCorrelationNames,
        SqlInfo::SqlSupportsExpressionsInOrderBy,
        SqlInfo::SqlSupportsOrderByUnrelated,
        SqlInfo::SqlSupportsLikeEscapeClause,
        SqlInfo::SqlSupportsNonNullableColumns,
        SqlInfo::SqlCatalogAtStart,
        SqlInfo::SqlCorrelatedSubqueriesSupported,
    ] {
        info.append(yes, true);
    }
    for no in [
        SqlInfo::SqlSupportsDifferentTableCorrelationNames,
        SqlInfo::SqlSupportsIntegrityEnhancementFacility,
        SqlInfo::SqlSelectForUpdateSupported,
        SqlInfo::SqlStoredProceduresSupported,
        SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported,
    ] {
        info.append(no, false);
    }
    info.append(SqlInfo::SqlSupportsConvert, conversions());
    info.append(
        SqlInfo::SqlSupportedGroupBy,
        bits(&[SqlSupportedGroupBy::SqlGroupByUnrelated as i32, SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32]),
    );
    info.append(
        SqlInfo::SqlSupportedGrammar,
        bits(&[SupportedSqlGrammar::SqlMinimumGrammar as i32, SupportedSqlGrammar::SqlCoreGrammar as i32]),
    );
    info.append(SqlInfo::SqlAnsi92SupportedLevel, bits(&[0]));
    info.append(SqlInfo::SqlOuterJoinsSupportLevel, bits(&[SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32]));
    info.append(SqlInfo::SqlSchemaTerm, "schema");
    info.append(SqlInfo::SqlProcedureTerm, "procedure");
    info.append(SqlInfo::SqlCatalogTerm, "catalog");
    info.append(SqlInfo::SqlSchemasSupportedActions, 0_i32);
    info.append(SqlInfo::SqlCatalogsSupportedActions, 0_i32);
    info.append(SqlInfo::SqlSupportedPositionedCommands, 0_i32);
    info.append(
        SqlInfo::SqlSupportedSubqueries,
        bits(&[
            SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
            SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
            SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
            SqlSupportedSubqueries::SqlSubqueriesInQuantifieds as i32,
        ]),
    );
    info.append(
        SqlInfo::SqlSupportedUnions,
        bits(&[SqlSupportedUnions::SqlUnion as i32, SqlSupportedUnions::SqlUnionAll as i32]),
    );
}

fn about_results(info: &mut SqlInfoDataBuilder) {
    use SqlInfo as I;
    // 0: no limit, or none that is known.
    for unlimited in [
        I::SqlMaxBinaryLiteralLength,
        I::SqlMaxCharLiteralLength,
        I::SqlMaxColumnNameLength,
        I::SqlMaxColumnsInGroupBy,
        I::SqlMaxColumnsInIndex,
        I::SqlMaxColumnsInOrderBy,
        I::SqlMaxColumnsInSelect,
        I::SqlMaxColumnsInTable,
        I::SqlMaxConnections,
        I::SqlMaxCursorNameLength,
        I::SqlMaxIndexLength,
        I::SqlDbSchemaNameLength,
        I::SqlMaxProcedureNameLength,
        I::SqlMaxCatalogNameLength,
        I::SqlMaxRowSize,
        I::SqlMaxStatementLength,
        I::SqlMaxStatements,
        I::SqlMaxTableNameLength,
        I::SqlMaxTablesInSelect,
        I::SqlMaxUsernameLength,
    ] {
        info.append(unlimited, 0_i64);
    }
    info.append(I::SqlMaxRowSizeIncludesBlobs, true);
    // The protocol says int32; the JDBC driver casts to a long.
    info.append(I::SqlDefaultTransactionIsolation, SqlTransactionIsolationLevel::SqlTransactionNone as i64);
    for no in [
        I::SqlTransactionsSupported,
        I::SqlDataDefinitionCausesTransactionCommit,
        I::SqlDataDefinitionsInTransactionsIgnored,
        I::SqlBatchUpdatesSupported,
        I::SqlSavepointsSupported,
        I::SqlNamedParametersSupported,
        I::SqlLocatorsUpdateCopy,
    ] {
        info.append(no, false);
    }
    info.append(
        I::SqlSupportedTransactionsIsolationLevels,
        bits(&[SqlTransactionIsolationLevel::SqlTransactionNone as i32]),
    );
    info.append(I::SqlSupportedResultSetTypes, bits(&[SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32]));
    info.append(
        I::SqlSupportedConcurrenciesForResultSetForwardOnly,
        bits(&[SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32]),
    );
    for none in [
        I::SqlSupportedConcurrenciesForResultSetUnspecified,
        I::SqlSupportedConcurrenciesForResultSetScrollSensitive,
        I::SqlSupportedConcurrenciesForResultSetScrollInsensitive,
    ] {
        info.append(none, 0_i32);
    }
}

/// From each type to those it casts to.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert as C;
    let numbers = [
        C::SqlConvertTinyint,
        C::SqlConvertSmallint,
        C::SqlConvertInteger,
        C::SqlConvertBigint,
        C::SqlConvertReal,
        C::SqlConvertFloat,
        C::SqlConvertDecimal,
        C::SqlConvertNumeric,
    ];
    let times = [C::SqlConvertDate, C::SqlConvertTime, C::SqlConvertTimestamp];
    let text = [C::SqlConvertChar, C::SqlConvertVarchar, C::SqlConvertLongvarchar];
    let ids = |lists: &[&[C]]| -> Vec<i32> { lists.iter().flat_map(|l| l.iter()).map(|c| *c as i32).collect() };
    let bit = [C::SqlConvertBit];
    let mut all = BTreeMap::new();
    for from in numbers {
        all.insert(from as i32, ids(&[&numbers, &text, &bit]));
    }
    for from in text {
        all.insert(from as i32, ids(&[&numbers, &times, &text, &bit, &[C::SqlConvertBinary, C::SqlConvertVarbinary]]));
    }
    all.insert(C::SqlConvertBit as i32, ids(&[&numbers, &text, &bit]));
    all.insert(C::SqlConvertDate as i32, ids(&[&text, &[C::SqlConvertDate, C::SqlConvertTimestamp]]));
    all.insert(C::SqlConvertTime as i32, ids(&[&text, &[C::SqlConvertTime]]));
    all.insert(C::SqlConvertTimestamp as i32, ids(&[&times, &text]));
    all
}

/// Built once.
pub(crate) fn sql_info() -> Result<&'static SqlInfoData, Status> {
    static DATA: OnceLock<SqlInfoData> = OnceLock::new();
    match DATA.get() {
        Some(data) => Ok(data),
        None => {
            let built = build()?;
            Ok(DATA.get_or_init(|| built))
        }
    }
}

fn types() -> Vec<XdbcTypeInfo> {
    use XdbcDataType as X;
    let of = |name: &str, data_type: X, size: Option<i32>| XdbcTypeInfo {
        type_name: name.into(),
        data_type,
        column_size: size,
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        local_type_name: Some(name.into()),
        sql_data_type: data_type,
        ..XdbcTypeInfo::default()
    };
    let number = |name: &str, data_type: X, digits: i32| XdbcTypeInfo {
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        minimum_scale: Some(0),
        maximum_scale: Some(0),
        num_prec_radix: Some(10),
        ..of(name, data_type, Some(digits))
    };
    let quoted = |info: XdbcTypeInfo| XdbcTypeInfo {
        literal_prefix: Some("'".into()),
        literal_suffix: Some("'".into()),
        ..info
    };
    let time = |name: &str, data_type: X, size: i32, subcode: Option<XdbcDatetimeSubcode>| {
        let literal = XdbcTypeInfo {
            literal_prefix: Some(format!("{} '", name)),
            literal_suffix: Some("'".into()),
            ..of(name, data_type, Some(size))
        };
        XdbcTypeInfo { sql_data_type: X::XdbcDatetime, datetime_subcode: subcode, ..literal }
    };
    vec![
        of("BOOLEAN", X::XdbcBit, Some(1)),
        number("TINYINT", X::XdbcTinyint, 3),
        number("SMALLINT", X::XdbcSmallint, 5),
        number("INT", X::XdbcInteger, 10),
        number("BIGINT", X::XdbcBigint, 19),
        number("REAL", X::XdbcReal, 7),
        number("DOUBLE", X::XdbcDouble, 15),
        XdbcTypeInfo {
            create_params: Some(vec!["precision".into(), "scale".into()]),
            maximum_scale: Some(38),
            fixed_prec_scale: true,
            ..number("DECIMAL", X::XdbcDecimal, 38)
        },
        quoted(XdbcTypeInfo { case_sensitive: true, ..of("VARCHAR", X::XdbcVarchar, Some(i32::MAX)) }),
        XdbcTypeInfo {
            literal_prefix: Some("X'".into()),
            literal_suffix: Some("'".into()),
            ..of("BINARY", X::XdbcVarbinary, Some(i32::MAX))
        },
        time("DATE", X::XdbcDate, 10, Some(XdbcDatetimeSubcode::XdbcSubcodeYear)),
        time("TIME", X::XdbcTime, 15, Some(XdbcDatetimeSubcode::XdbcSubcodeTime)),
        time("TIMESTAMP", X::XdbcTimestamp, 26, Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp)),
        time("TIMESTAMPTZ", X::XdbcTimestamp, 32, Some(XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone)),
    ]
}

/// Built once.
pub(crate) fn type_info() -> Result<&'static XdbcTypeInfoData, Status> {
    static DATA: OnceLock<XdbcTypeInfoData> = OnceLock::new();
    match DATA.get() {
        Some(data) => Ok(data),
        None => {
            let mut builder = XdbcTypeInfoDataBuilder::new();
            for info in types() {
                builder.append(info);
            }
            let built = builder.build().map_err(Status::from)?;
            Ok(DATA.get_or_init(|| built))
        }
    }
}
