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
