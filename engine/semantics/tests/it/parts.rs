//! Parts of times. Answers are DuckDB's and PostgreSQL's.

use crate::world::*;

async fn world() -> World {
    World::new(&[(
        "t",
        "SELECT CAST(column1 AS DATE) AS d, CAST(column1 AS TIMESTAMP) AS ts, CAST(column1 AS TIMESTAMPTZ) AS tz \
         FROM (VALUES ('0001-01-01'), ('0009-12-31'), ('1000-06-01'), ('1001-06-01'), ('1900-12-31'), ('1969-12-31'), \
         ('2000-12-31'), ('2001-01-01'), ('9999-12-31'), (NULL))",
    )])
    .await
}

#[tokio::test]
async fn of_many_years() {
    let world = world().await;
    let parts = [
        ("decade", "0;0;100;100;190;196;200;200;999;NULL"),
        ("century", "1;1;10;11;19;20;20;21;100;NULL"),
        ("millennium", "1;1;1;2;2;2;2;3;10;NULL"),
    ];
    for (part, expected) in parts {
        for column in ["d", "ts", "tz"] {
            world.rows(&format!("SELECT extract({part} FROM {column}) FROM t"), expected).await;
            world.rows(&format!("SELECT date_part('{part}', {column}) FROM t"), expected).await;
        }
    }
    world
        .typed(
            "SELECT extract(century FROM DATE '2001-01-01'), date_part('decades', DATE '1999-12-31')",
            "21|199",
            "Int32|Int32",
        )
        .await;
    world.rows("SELECT d FROM t WHERE extract(century FROM d) = 20 ORDER BY d", "1969-12-31;2000-12-31").await;
    // The year 0 is 1 BC.
    let before = "DATE '0001-01-01' - INTERVAL";
    let counted = |days: &str| {
        format!(
            "extract(century FROM {before} '{days}'), extract(decade FROM {before} '{days}'), extract(millennium FROM {before} '{days}')"
        )
    };
    world.rows(&format!("SELECT {}, {}", counted("1 day"), counted("101 years")), "-1|0|-1|-2|-10|-1").await;
    let spans = "extract(decade FROM INTERVAL '-25 years'), extract(century FROM INTERVAL '250 years'), \
                 extract(millennium FROM INTERVAL '2500 years'), extract(quarter FROM INTERVAL '25 months')";
    world.rows(&format!("SELECT {spans}"), "-2|2|2|1").await;
}

#[tokio::test]
async fn of_the_zone() {
    let world = world().await;
    let zone = "extract(timezone FROM tz), extract(timezone_hour FROM tz), extract(timezone_minute FROM tz)";
    world.rows(&format!("SELECT {zone} FROM t WHERE d = DATE '2001-01-01' OR d IS NULL"), "0|0|0;NULL|NULL|NULL").await;
    world.fails("SELECT extract(timezone FROM ts) FROM t", "TIMESTAMP has no part 'timezone'").await;
}

#[tokio::test]
async fn a_part_that_there_is_not_is_refused() {
    let world = world().await;
    world.fails("SELECT extract(julian FROM d) FROM t", "DATE has no part 'julian'; it has millennium, century").await;
    world.fails("SELECT date_part('nosuch', tz) FROM t", "has no part 'nosuch'; it has").await;
    world.fails("SELECT extract(decade FROM TIME '12:34:56')", "TIME has no part 'decade'; it has hour").await;
    world.fails("SELECT extract(year FROM TIME '12:34:56')", "TIME has no part 'year'; it has hour").await;
    world.fails("SELECT extract(week FROM ts - ts) FROM t", "a difference of times has no part 'week'").await;
    world.rows("SELECT extract(hour FROM TIME '12:34:56'), extract(epoch FROM TIME '00:01:00')", "12|60.0").await;
}
