//! SIMILAR TO and LIKE with an escape character: right values are PostgreSQL's.

use crate::world::World;

#[tokio::test]
async fn similar_to_matches_the_whole_value() {
    let w = World::new(&[("t", "SELECT * FROM (VALUES ('abc'), ('b'), ('a%'), ('a.c'), (NULL), ('')) v(s)")]).await;
    let cases = [
        ("'a%'", "abc a% a.c"),
        ("'b'", "b"),
        ("'_b_'", "abc"),
        ("'(a|z)bc'", "abc"),
        ("'a.c'", "a.c"),
        ("'a|b'", "b"),
        ("'a\\%'", "a%"),
        ("'a!%' ESCAPE '!'", "a%"),
        ("'[^[:alpha:]]*'", ""),
        ("'[a-c]{3}'", "abc"),
        ("'a[b.]c'", "abc a.c"),
        ("'^b$'", ""),
    ];
    for (pattern, wanted) in cases {
        // The empty value stands for itself in the last but three.
        let sql = format!("SELECT s FROM t WHERE s SIMILAR TO {} AND s <> ''", pattern.replace("\\\\", "\\"));
        w.rows(&sql, &wanted.replace(' ', ";")).await;
    }
    w.rows(
        "SELECT '' SIMILAR TO '', '' SIMILAR TO '%', 'a' SIMILAR TO '', 'abc' NOT SIMILAR TO 'b', NULL SIMILAR TO 'a'",
        "true|true|false|true|NULL",
    )
    .await;
    w.rows("SELECT concat('a', chr(10), 'c') SIMILAR TO 'a%'", "true").await;
    w.fails("SELECT s SIMILAR TO lower(s) FROM t", "must be a constant").await;
}

#[tokio::test]
async fn like_takes_an_escape_character() {
    let w = World::new(&[("t", "SELECT * FROM (VALUES ('a%c'), ('abc'), ('a_c'), ('a!c'), ('a\\c')) v(s)")]).await;
    w.rows("SELECT s FROM t WHERE s LIKE 'a!%c' ESCAPE '!'", "a%c").await;
    w.rows("SELECT s FROM t WHERE s LIKE 'a!_c' ESCAPE '!'", "a_c").await;
    w.rows("SELECT s FROM t WHERE s LIKE 'a!!c' ESCAPE '!'", "a!c").await;
    w.rows("SELECT s FROM t WHERE s ILIKE 'A#%C' ESCAPE '#'", "a%c").await;
    w.rows("SELECT s FROM t WHERE s LIKE 'a\\c' ESCAPE '!'", "a\\c").await;
    w.rows("SELECT s FROM t WHERE s LIKE 'a\\c' ESCAPE ''", "a\\c").await;
    w.rows("SELECT count(*) FROM t WHERE s NOT LIKE 'a!%c' ESCAPE '!'", "4").await;
    w.fails("SELECT s LIKE 'a' ESCAPE 'ab' FROM t", "one character").await;
}

/// PostgreSQL's syntax; DuckDB, which refuses `\&` and what names no group, gives the same for the others.
#[tokio::test]
async fn a_replacement_names_groups_by_backslashes_alone() {
    let w = World::new(&[("r", "SELECT * FROM (VALUES (1, '$5.00'), (2, '<\\1>'), (3, NULL)) v(k, r)")]).await;
    for (call, wanted) in [
        (r"'banana', 'a', '$5.00'", "b$5.00nana"),
        (r"'banana', 'a', '$5.00', 'g'", "b$5.00n$5.00n$5.00"),
        (r"'banana', '(?P<x>a)', '${x}$x$1$$', 'g'", "b${x}$x$1$$n${x}$x$1$$n${x}$x$1$$"),
        (r"'banana', '(a)', '<\1\0\\>', 'g'", r"b<aa\>n<aa\>n<aa\>"),
        (r"'banana', '(a)(n)', '\2\1'", "bnaana"),
        (r"'banana', '(a)', '\12'", "ba2nana"),
        (r"'abc', 'b', '\\'", r"a\c"),
        (r"'abc', '(b)', '\\1'", r"a\1c"),
        (r"'abc', '(b)', '\\\1'", r"a\bc"),
        (r"'abc', '(b)', '\2'", "ac"),
        (r"'abc', 'b', '[\&]'", "a[b]c"),
        (r"'abc', 'b', '\q\'", r"a\q\c"),
    ] {
        w.rows(&format!("SELECT regexp_replace({call})"), wanted).await;
    }
    w.rows("SELECT regexp_replace('abc', '(b)', r) FROM r ORDER BY k", "a$5.00c;a<b>c;NULL").await;
    w.rows("SELECT regexp_replace('https://a.org/x', '^https?://([^/]+)/.*$', '\\1')", "a.org").await;
}
