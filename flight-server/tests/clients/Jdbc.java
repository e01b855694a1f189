// Arrow's Flight SQL JDBC driver against a running server:
//   java --add-opens=java.base/java.nio=ALL-UNNAMED -cp flight-sql-jdbc-driver.jar Jdbc.java HOST:PORT

import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

public class Jdbc {
    static void check(String what, boolean right, Object found) {
        if (!right) throw new AssertionError(what + ": " + found);
    }

    static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> found = new ArrayList<>();
        while (rows.next()) found.add(rows.getString(name));
        rows.close();
        return found;
    }

    static void fails(Connection c, String sql, String code, boolean update) throws SQLException {
        try (Statement s = c.createStatement()) {
            if (update) s.executeUpdate(sql);
            else for (ResultSet r = s.executeQuery(sql); r.next(); ) { }
        } catch (SQLException e) {
            StringBuilder all = new StringBuilder();
            for (Throwable t = e; t != null; t = t.getCause()) all.append(t.getMessage()).append('\n');
            check(sql, all.indexOf(code) >= 0, all);
            return;
        }
        throw new AssertionError(sql + " ran");
    }

    public static void main(String[] args) throws Exception {
        String uri = "jdbc:arrow-flight-sql://" + args[0] + "/?useEncryption=false";
        for (String more : new String[] {"", "&user=anybody&password=word", "&token=any", "&catalog=ingot"}) {
            Connection c = DriverManager.getConnection(uri + more);
            try (Statement s = c.createStatement()) {
                check("select", column(s.executeQuery("SELECT count(*) AS n FROM gold.things"), "n").equals(List.of("100")), more);
            }
            try {
                c.close();
            } catch (SQLException e) {
                // With a catalog, driver 18.3 closes its session twice, the second time over a channel it has shut down.
                check("close", more.contains("catalog") && e.getMessage().contains("Channel shutdown invoked"), e);
            }
        }
        try {
            DriverManager.getConnection(uri + "&catalog=other").close();
            throw new AssertionError("another catalog was accepted");
        } catch (SQLException e) {
            check("other catalog", e.getMessage().contains("catalog"), e);
        }
        try (Connection c = DriverManager.getConnection(uri)) {
            DatabaseMetaData m = c.getMetaData();
            check("product", m.getDatabaseProductName().equals("Ingot"), m.getDatabaseProductName());
            check("quote", m.getIdentifierQuoteString().equals("\""), m.getIdentifierQuoteString());
            check("read only", m.isReadOnly(), "");
            check("transactions", !m.supportsTransactions(), "");
            check("isolation", m.getDefaultTransactionIsolation() == Connection.TRANSACTION_NONE, m.getDefaultTransactionIsolation());
            check("outer joins", m.supportsFullOuterJoins(), "");
            check("union", m.supportsUnionAll(), "");
            check("group by", m.supportsGroupByUnrelated(), "");
            check("statement length", m.getMaxStatementLength() == 0, m.getMaxStatementLength());
            check("keywords", m.getSQLKeywords().contains("QUALIFY"), m.getSQLKeywords());
            check("catalogs", column(m.getCatalogs(), "TABLE_CAT").equals(List.of("ingot")), "");
            check("schemas", column(m.getSchemas(), "TABLE_SCHEM").equals(List.of("gold")), "");
            check("types", column(m.getTableTypes(), "TABLE_TYPE").equals(List.of("TABLE", "VIEW")), "");
            check("tables", column(m.getTables(null, null, "%", null), "TABLE_NAME").equals(List.of("things")), "");
            check("upper case", column(m.getTables(null, "GOLD", "THIN%", new String[] {"TABLE"}), "TABLE_NAME").equals(List.of("things")), "");
            List<String> columns = column(m.getColumns(null, "gold", "things", "%"), "COLUMN_NAME");
            check("columns", columns.equals(List.of("id", "kind")), columns);
            List<String> types = column(m.getColumns(null, "gold", "things", "%"), "TYPE_NAME");
            check("type names", types.equals(List.of("BIGINT", "VARCHAR")), types);
            check("keys", column(m.getPrimaryKeys(null, "gold", "things"), "COLUMN_NAME").equals(List.of("id", "kind")), "");
            check("imported", column(m.getImportedKeys(null, "gold", "things"), "FKCOLUMN_NAME").isEmpty(), "");
            check("exported", column(m.getExportedKeys(null, "gold", "things"), "FKCOLUMN_NAME").isEmpty(), "");
            check("valid", c.isValid(5), "");
            m.getTypeInfo().close();

            try (Statement s = c.createStatement()) {
                s.setMaxRows(2);
                check("max rows", column(s.executeQuery("SELECT id FROM gold.things ORDER BY id"), "id").equals(List.of("0", "1")), "");
            }
            try (PreparedStatement s = c.prepareStatement("SELECT id FROM gold.things WHERE id > ? AND kind = ? ORDER BY id")) {
                check("parameters", s.getParameterMetaData().getParameterCount() == 2, s.getParameterMetaData().getParameterCount());
                s.setLong(1, 94);
                s.setString(2, "k0");
                check("prepared", column(s.executeQuery(), "id").equals(List.of("96", "99")), "");
                s.setLong(1, 98);
                s.setString(2, "k0");
                check("again", column(s.executeQuery(), "id").equals(List.of("99")), "");
            }
            try (PreparedStatement s = c.prepareStatement("SELECT ? AS a")) {
                s.setString(1, "x");
                check("untyped", column(s.executeQuery(), "a").equals(List.of("x")), "");
            }
            try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(
                    "SELECT 1 AS i, 1.5 AS d, true AS b, DATE '2026-01-31' AS day, TIMESTAMP '2026-01-31 12:00:00' AS t, "
                    + "CAST('2026-01-31T12:00:00Z' AS TIMESTAMPTZ) AS tz, CAST(1.25 AS DECIMAL(10, 2)) AS m, [1, 2] AS l, NULL AS nothing")) {
                check("row", r.next(), "");
                check("decimal", r.getBigDecimal("m").toPlainString().equals("1.25"), r.getBigDecimal("m"));
                check("array", ((Object[]) r.getArray("l").getArray()).length == 2, "");
                check("date", r.getString("day").equals("2026-01-31"), r.getString("day"));
                check("zone", r.getTimestamp("tz").getTime() == 1769860800000L, r.getTimestamp("tz").getTime());
                check("null", r.getObject("nothing") == null, "");
            }
            fails(c, "SELECT * FROM nope", "Q0102", false);
            fails(c, "SELECT nope FROM gold.things", "Q0102", false);
            fails(c, "INSERT INTO gold.things VALUES (1, 'x')", "Q0104", true);
            fails(c, "CREATE TABLE t (a INT)", "Q0104", true);
            c.setAutoCommit(true);
        }
        System.out.println("jdbc: right");
    }
}
