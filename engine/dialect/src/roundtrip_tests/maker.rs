//! Makes statements from a seed, and says which productions of the grammar it used.

use super::productions::PRODUCTIONS;
use crate::ast::*;
use crate::parse_file;
use std::collections::BTreeMap;

/// Makes statements from a seed, counting the productions it uses.
pub(super) struct Maker {
    state: u64,
    pub(super) hits: BTreeMap<&'static str, usize>,
}

const IDENTS: &[&str] = &[
    "id",
    "ts",
    "battery",
    "vehicleId",
    "_offset",
    "größe",
    "\"Mixed Case\"",
    "\"we\"\"ird\"",
    "\"select\"",
    "source",
    "stream",
    "as",
    "primary",
    "constraint",
    "comment",
    "watermark",
    "key",
    "on",
    "not",
    "refresh",
    "with",
    "include",
    "from",
    "format",
    "type",
    "keys",
];
const QUERIES: &[&str] = &[
    "SELECT 1 AS a",
    "SELECT * FROM STREAM vehicles",
    "select id, \"B\" from stream bronze.x as s where s.id > 1 -- last\n and true",
    "-- above\nSELECT a /* in; side */ FROM a.b, STREAM c.d WHERE 'it''s;' <> e'\\n'",
    "WITH c AS (SELECT * FROM STREAM(bronze.e)) SELECT c.* FROM c JOIN STREAM d ON c.a IS NOT DISTINCT FROM d.b",
    "SELECT trim(BOTH 'x' FROM stream), extract(day FROM ts) AS d FROM \"stream\"",
    "SELECT id FROM silver.e FOR VERSION AS OF 12 AS v QUALIFY row_number() OVER (PARTITION BY id ORDER BY _p, _o) = 1",
    "VALUES (1, 'a'), (2, $$b$$)",
    "SELECT a FROM t FOR TIMESTAMP AS OF '2026-01-01 00:00:00' UNION ALL SELECT b FROM u",
    "SELECT count(*) FILTER (WHERE x IN (1, 2)) AS n, avg(y) AS y FROM g.s GROUP BY ALL",
];
const EXPRS: &[&str] = &[
    "a > 1",
    "id IS NOT NULL AND ts IS NOT NULL",
    "type IN ('car', 'it''s')",
    "x -- why\n + 1 < 2",
    "battery BETWEEN 0 AND 100",
    "ts - INTERVAL '5' MINUTE",
    "coalesce(a, 'b;') = \"C\"",
    "CASE WHEN a THEN 1 ELSE 2 END = 1",
    "a::BIGINT > 0",
];
const LITERALS: &[&str] =
    &["0", "-1.5", "'x'", "TRUE", "NULL", "TIMESTAMP '2026-01-01'", "DATE '2026-01-01'", "'it''s'"];
const STRINGS: &[&str] = &["", "plain", "it's", "a\nb", "${HOST:-x}", "semi;colon", "--no", "/*no", "ünï", "\\"];

impl Maker {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed, hits: BTreeMap::new() }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn flip(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    fn hit(&mut self, production: &'static str) {
        assert!(PRODUCTIONS.contains(&production), "{production} is not listed");
        *self.hits.entry(production).or_default() += 1;
    }

    /// True every other time, counting it.
    fn may(&mut self, production: &'static str) -> bool {
        let yes = self.flip();
        if yes {
            self.hit(production);
        }
        yes
    }

    fn maybe<T>(&mut self, production: &'static str, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.may(production).then(|| make(self))
    }

    fn pick<T: Copy>(&mut self, choices: &[(&'static str, T)]) -> T {
        let (production, value) = choices[self.below(choices.len())];
        self.hit(production);
        value
    }

    fn many<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..=self.below(3)).map(|_| make(self)).collect()
    }

    fn ident(&mut self) -> Ident {
        let i = self.below(IDENTS.len());
        let text = IDENTS[i];
        if i >= 9 {
            self.hit("ident.head_word");
        }
        if let Some(inner) = text.strip_prefix('"') {
            self.hit("ident.quoted");
            let value = inner.trim_end_matches('"').replace("\"\"", "\"");
            return Ident { written: value.clone(), value, quoted: true, span: Span::empty() };
        }
        Ident { value: text.to_ascii_lowercase(), written: text.to_string(), quoted: false, span: Span::empty() }
    }

    fn name(&mut self) -> ObjectName {
        let parts = self.pick(&[("name.1", 1), ("name.2", 2), ("name.3", 3)]);
        ObjectName((0..parts).map(|_| self.ident()).collect())
    }

    fn string(&mut self) -> Str {
        let i = self.below(STRINGS.len());
        spanned(STRINGS[i].to_string())
    }

    fn pair(&mut self) -> Pair {
        Pair { key: self.string(), value: self.string() }
    }

    fn query(&mut self) -> Query {
        let i = self.below(QUERIES.len());
        query(QUERIES[i])
    }

    fn expr(&mut self) -> Expr {
        let i = self.below(EXPRS.len());
        expr(EXPRS[i])
    }

    pub(super) fn ty(&mut self, depth: usize) -> ColumnType {
        let scalars = [
            ColumnType::TinyInt,
            ColumnType::SmallInt,
            ColumnType::Int,
            ColumnType::BigInt,
            ColumnType::Real,
            ColumnType::Double,
            ColumnType::Boolean,
            ColumnType::String(None),
            ColumnType::Json,
            ColumnType::Binary,
            ColumnType::Uuid,
            ColumnType::Date,
            ColumnType::Time,
            ColumnType::Timestamp(None),
            ColumnType::TimestampTz(None),
        ];
        let kinds = if depth > 3 { 4 } else { 7 };
        match self.below(kinds) {
            0 => {
                self.hit("type.scalar");
                let i = self.below(scalars.len());
                scalars[i].clone()
            }
            1 => {
                self.hit("type.decimal");
                ColumnType::Decimal(38, self.below(38) as i8)
            }
            2 => {
                self.hit("type.varchar_n");
                ColumnType::String(Some(self.next() % 100))
            }
            3 => {
                self.hit("type.timestamp_p");
                if self.flip() { ColumnType::Timestamp(Some(3)) } else { ColumnType::TimestampTz(Some(6)) }
            }
            4 => {
                self.hit("type.list");
                ColumnType::List(Box::new(self.ty(depth + 1)))
            }
            5 => {
                self.hit("type.struct");
                let mut fields: Vec<(String, ColumnType)> = Vec::new();
                for _ in 0..=self.below(3) {
                    let field = self.ident().value;
                    if fields.iter().all(|(known, _)| *known != field) {
                        fields.push((field, self.ty(depth + 1)));
                    }
                }
                ColumnType::Struct(fields)
            }
            _ => {
                self.hit("type.map");
                ColumnType::Map(Box::new(self.ty(depth + 1)), Box::new(self.ty(depth + 1)))
            }
        }
    }

    fn encode(&mut self) -> Encode {
        let encoding = self.pick(&[
            ("enc.json", Encoding::Json),
            ("enc.avro", Encoding::Avro),
            ("enc.protobuf", Encoding::Protobuf),
            ("enc.csv", Encoding::Csv),
            ("enc.bytes", Encoding::Bytes),
        ]);
        let options = self.maybe("enc.options", |m| m.many(|m| EncodeOption { key: m.ident(), value: m.string() }));
        Encode { encoding: spanned(encoding), options: options.unwrap_or_default() }
    }

    fn source(&mut self) -> Source {
        self.hit("source");
        let columns = self.many(|m| SourceColumn {
            name: m.ident(),
            ty: spanned(m.ty(0)),
            path: m.maybe("scol.from", |_| spanned("$.a[\"b c\"][0]".to_string())),
            not_null: m.may("scol.not_null"),
            default: m.maybe("scol.default", |m| {
                let i = m.below(LITERALS.len());
                expr(LITERALS[i])
            }),
            comment: m.maybe("scol.comment", Self::string),
        });
        let include = |m: &mut Self| Include {
            kind: m.pick(&[
                ("include.key", IncludeKind::Key),
                ("include.topic", IncludeKind::Topic),
                ("include.partition", IncludeKind::Partition),
                ("include.offset", IncludeKind::Offset),
                ("include.timestamp", IncludeKind::Timestamp),
                ("include.headers", IncludeKind::Headers),
                ("include.payload", IncludeKind::Payload),
            ]),
            name: m.ident(),
            span: Span::empty(),
        };
        let format = self.pick(&[
            ("format.plain", Format::Plain),
            ("format.upsert", Format::Upsert),
            ("format.debezium", Format::Debezium),
        ]);
        Source {
            name: self.name(),
            columns,
            primary_key: self.maybe("source.primary_key", |m| m.many(Self::ident)),
            watermark: self.maybe("source.watermark", |m| (m.ident(), m.expr())),
            includes: if self.flip() { self.many(include) } else { Vec::new() },
            with: self.many(Self::pair),
            format: spanned(format),
            key_encode: self.maybe("key_encode", Self::encode),
            encode: self.encode(),
        }
    }

    fn column_def(&mut self) -> ColumnDef {
        ColumnDef {
            name: self.ident(),
            ty: self.maybe("coldef.type", |m| spanned(m.ty(0))),
            not_null: self.may("coldef.not_null"),
            comment: self.maybe("coldef.comment", Self::string),
        }
    }

    fn expectation(&mut self) -> Expectation {
        self.hit("cols.expect");
        let violation = self.flip().then(|| {
            let kind = self.pick(&[
                ("violation.warn", 0),
                ("violation.drop", 1),
                ("violation.quarantine", 2),
                ("violation.fail", 3),
            ]);
            match kind {
                0 => Violation::Warn,
                1 => Violation::DropRow,
                2 => Violation::Quarantine(self.name()),
                _ => Violation::FailUpdate,
            }
        });
        Expectation { name: self.ident(), expr: self.expr(), violation }
    }

    fn columns(&mut self) -> Columns {
        let columns = self.maybe("cols.coldef", |m| m.many(Self::column_def)).unwrap_or_default();
        let primary_key = self.maybe("cols.primary_key", |m| m.many(Self::ident));
        let expectations = if self.flip() { self.many(Self::expectation) } else { Vec::new() };
        Columns { columns, primary_key, expectations }
    }

    fn transform(&mut self) -> Transform {
        let kind = self.pick(&[
            ("part.identity", 0),
            ("part.years", 1),
            ("part.months", 2),
            ("part.days", 3),
            ("part.hours", 4),
            ("part.bucket", 5),
            ("part.truncate", 6),
        ]);
        let c = self.ident();
        match kind {
            0 => Transform::Identity(c),
            1 => Transform::Years(c),
            2 => Transform::Months(c),
            3 => Transform::Days(c),
            4 => Transform::Hours(c),
            5 => Transform::Bucket(16, c),
            _ => Transform::Truncate(4, c),
        }
    }

    fn sort_column(&mut self) -> SortColumn {
        let nulls_first = self.flip().then(|| self.pick(&[("sort.nulls_first", true), ("sort.nulls_last", false)]));
        SortColumn { column: self.ident(), descending: self.may("sort.desc"), nulls_first }
    }

    fn clauses(&mut self) -> Clauses {
        let freshness = self.flip().then(|| {
            let unit = self.pick(&[("fresh.interval", true), ("fresh.downstream", false)]);
            let count = 1 + self.next() % 9;
            let interval = Freshness::Interval { ms: count * 60_000, text: format!("'{count}' MINUTE") };
            spanned(if unit { interval } else { Freshness::Downstream })
        });
        let policy = self.flip().then(|| {
            spanned(self.pick(&[
                ("policy.auto", Policy::Auto),
                ("policy.incremental", Policy::Incremental),
                ("policy.strict", Policy::IncrementalStrict),
                ("policy.full", Policy::Full),
            ]))
        });
        let decode =
            self.flip().then(|| match self.pick(&[("decode.fail", 0), ("decode.drop", 1), ("decode.into", 2)]) {
                0 => spanned(OnDecodeError::Fail),
                1 => spanned(OnDecodeError::Drop),
                _ => spanned(OnDecodeError::Into(self.name())),
            });
        let late = self.flip().then(|| match self.pick(&[("late.accept", 0), ("late.drop", 1), ("late.into", 2)]) {
            0 => spanned(OnLate::Accept),
            1 => spanned(OnLate::Drop),
            _ => spanned(OnLate::Into(self.name())),
        });
        let change = self.flip().then(|| {
            spanned(self.pick(&[
                ("schema.fail", OnSchemaChange::Fail),
                ("schema.add", OnSchemaChange::AddColumns),
                ("schema.ignore", OnSchemaChange::Ignore),
            ]))
        });
        let backfill = self.maybe("backfill", |m| {
            let version = m.maybe("backfill.version", |m| (m.next() >> 1) as i64);
            (m.name(), version)
        });
        Clauses {
            partitioned_by: self.maybe("clause.partitioned", |m| m.many(|m| spanned(m.transform()))),
            sorted_by: self.maybe("clause.sorted", |m| m.many(Self::sort_column)),
            comment: self.maybe("clause.comment", Self::string),
            tags: self.maybe("clause.tags", |m| m.many(Self::pair)),
            properties: self.maybe("clause.properties", |m| m.many(Self::pair)),
            freshness,
            policy,
            frozen: self.maybe("clause.frozen", Self::expr),
            backfill,
            on_decode_error: decode,
            on_late: late,
            on_schema_change: change,
        }
    }

    fn table(&mut self, query: Option<Query>) -> TableDef {
        TableDef {
            or_refresh: self.may("or_refresh"),
            name: self.name(),
            columns: self.columns(),
            clauses: self.clauses(),
            query,
        }
    }

    fn choice(&mut self) -> ColumnChoice {
        let only = self.pick(&[("choice.only", true), ("choice.except", false)]);
        let list = self.many(Self::ident);
        if only { ColumnChoice::Only(list) } else { ColumnChoice::AllExcept(list) }
    }

    fn flow(&mut self) -> Flow {
        let (name, target) = (self.name(), self.name());
        let kind = match self.pick(&[("flow.insert", 0), ("flow.insert_once", 1), ("flow.cdc", 2)]) {
            0 => FlowKind::Insert { once: false, query: self.query() },
            1 => FlowKind::Insert { once: true, query: self.query() },
            _ => FlowKind::AutoCdc(Box::new(Cdc {
                stream: self.may("cdc.stream"),
                source: self.name(),
                keys: self.many(Self::ident),
                ignore_null_updates: self.may("cdc.ignore_null"),
                delete_when: self.maybe("cdc.delete", Self::expr),
                truncate_when: self.maybe("cdc.truncate", Self::expr),
                sequence_by: self.expr(),
                columns: self.maybe("cdc.columns", Self::choice),
                scd_type: self.maybe("cdc.scd", |m| 1 + m.below(2) as u8),
                track_history: self.maybe("cdc.track", Self::choice),
            })),
        };
        Flow { name, target, kind }
    }

    fn test(&mut self) -> TestDef {
        self.hit("test");
        let step =
            |m: &mut Self| match m.pick(&[("then.insert", 0), ("then.update", 1), ("then.delete", 2), ("then.now", 3)])
            {
                0 => TestStep::Insert(m.name(), m.query()),
                1 => TestStep::Update(m.name(), m.many(|m| (m.ident(), m.expr())), m.expr()),
                2 => TestStep::Delete(m.name(), m.expr()),
                _ => TestStep::SetNow(expr("TIMESTAMP '2026-01-01'")),
            };
        let with_refresh = self.flip().then(|| self.pick(&[("test.incremental", true), ("test.full", false)]));
        TestDef {
            name: self.ident(),
            target: self.name(),
            given: self.many(|m| (m.name(), m.query())),
            steps: if self.flip() { self.many(step) } else { Vec::new() },
            unordered: self.may("test.unordered"),
            expect: self.query(),
            with_refresh,
        }
    }

    fn command(&mut self) -> Command {
        let kind = self.pick(&[
            ("refresh", 0),
            ("refresh.full", 1),
            ("refresh.where", 2),
            ("explain", 3),
            ("history", 4),
            ("history.name", 5),
            ("lineage", 6),
            ("alter.optimize", 7),
            ("alter.expire", 8),
            ("alter.manifests", 9),
            ("alter.orphans", 10),
        ]);
        let name = self.name();
        let action = match kind {
            0..=2 => {
                return Command::Refresh { name, full: kind == 1, filter: (kind == 2).then(|| self.expr()) };
            }
            3 => return Command::ExplainRefresh(name),
            4 => return Command::ShowRefreshHistory(None),
            5 => return Command::ShowRefreshHistory(Some(name)),
            6 => return Command::ShowLineage(name),
            7 => MaintenanceAction::Optimize,
            8 => MaintenanceAction::ExpireSnapshots,
            9 => MaintenanceAction::RewriteManifests,
            _ => MaintenanceAction::RemoveOrphanFiles,
        };
        let options = self.maybe("alter.options", |m| m.many(|m| (m.ident(), expr("'7d'"))));
        let filter = if kind == 7 { self.maybe("alter.where", |m| m.expr()) } else { None };
        Command::AlterExecute { table: name, action, options: options.unwrap_or_default(), filter }
    }

    pub(super) fn statement(&mut self) -> Statement {
        let kind = match self.below(10) {
            0 => StatementKind::Source(self.source()),
            1 => {
                self.hit("stream");
                let query = if self.may("stream.no_query") { None } else { Some(self.query()) };
                StatementKind::StreamingTable(self.table(query))
            }
            2 => {
                self.hit("mview");
                let query = self.query();
                StatementKind::MaterializedView(self.table(Some(query)))
            }
            3 => {
                self.hit("view");
                StatementKind::View(ViewDef { name: self.name(), columns: self.columns(), query: self.query() })
            }
            4 => {
                self.hit("tview");
                StatementKind::TemporaryView(ViewDef {
                    name: self.name(),
                    columns: self.columns(),
                    query: self.query(),
                })
            }
            5 => {
                self.hit("seed");
                let columns = self.many(Self::column_def);
                StatementKind::Seed(Seed { name: self.name(), columns, clauses: self.clauses(), path: self.string() })
            }
            6 => {
                self.hit("extern");
                StatementKind::External(External { name: self.name(), columns: self.many(Self::column_def) })
            }
            7 => StatementKind::Flow(self.flow()),
            8 => StatementKind::Test(self.test()),
            _ => StatementKind::Command(self.command()),
        };
        Statement { kind, span: Span::empty() }
    }
}

fn spanned<T>(node: T) -> Spanned<T> {
    Spanned::new(node, Span::empty())
}

pub(super) fn only(text: &str) -> Statement {
    let parsed = parse_file("t.sql", text);
    assert!(!parsed.has_errors(), "{text}\n{:#?}", parsed.diagnostics);
    assert_eq!(parsed.statements.len(), 1, "{text}");
    parsed.statements.into_iter().next().unwrap()
}

fn query(text: &str) -> Query {
    match only(&format!("CREATE VIEW v AS {text}")).kind {
        StatementKind::View(v) => v.query,
        other => panic!("{other:?}"),
    }
}

fn expr(text: &str) -> Expr {
    match only(&format!("CREATE VIEW v (CONSTRAINT c EXPECT ({text})) AS SELECT 1 AS a")).kind {
        StatementKind::View(v) => v.columns.expectations.into_iter().next().unwrap().expr,
        other => panic!("{other:?}"),
    }
}
