// The JDBC judge: Judge.java URL
//
// Connects with the Arrow Flight SQL JDBC driver, as a BI tool would, and prints what it reads in the form that
// judge.py writes with --canonical, so that the two can be compared line by line. Its own checks (metadata calls,
// parameters, errors) go to standard error; one that fails makes it exit with 1.

import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

public class Judge {
  static final List<String> TABLES = List.of(
      "bronze.vehicle_events", "bronze.vehicle_events_errors", "gold.stats", "silver.vehicle_events",
      "silver.vehicle_events_rejected");
  static int passed = 0;
  static int failed = 0;

  interface Check { boolean holds() throws Exception; }

  static void check(String what, Check check) {
    boolean right = false;
    String why = "";
    try {
      right = check.holds();
    } catch (Exception e) {
      why = ": " + e.getClass().getSimpleName() + ": " + e.getMessage();
    }
    if (right) passed++; else failed++;
    System.err.println((right ? "ok    " : "FAIL  ") + "jdbc: " + what + why);
  }

  static List<String> column(ResultSet rows, String name) throws SQLException {
    List<String> values = new ArrayList<>();
    try (rows) {
      while (rows.next()) values.add(rows.getString(name));
    }
    return values;
  }

  static String bits(ResultSet row, int column) throws SQLException {
    double value = row.getDouble(column);
    return row.wasNull() ? "null" : String.format("%016x", Double.doubleToRawLongBits(value));
  }

  static void metadata(Connection connection) throws SQLException {
    DatabaseMetaData of = connection.getMetaData();
    check("names itself", () -> !of.getDatabaseProductName().isEmpty() && !of.getDatabaseProductVersion().isEmpty());
    check("catalogs", () -> column(of.getCatalogs(), "TABLE_CAT").contains("ingot"));
    check("schemas", () -> column(of.getSchemas(), "TABLE_SCHEM").containsAll(List.of("bronze", "silver", "gold")));
    check("table types", () -> column(of.getTableTypes(), "TABLE_TYPE").contains("TABLE"));
    check("tables", () -> {
      Set<String> found = new TreeSet<>();
      try (ResultSet rows = of.getTables(null, null, "%", null)) {
        while (rows.next()) found.add(rows.getString("TABLE_SCHEM") + "." + rows.getString("TABLE_NAME"));
      }
      return found.containsAll(TABLES);
    });
    check("tables of one schema", () -> column(of.getTables(null, "gold", "%", null), "TABLE_NAME").equals(List.of("stats")));
    check("columns", () -> column(of.getColumns(null, "gold", "stats", "%"), "COLUMN_NAME")
        .equals(List.of("type", "total", "avg_battery", "max_lat")));
    check("hidden columns stay hidden", () -> column(of.getColumns(null, null, null, "%"), "COLUMN_NAME").stream()
        .noneMatch(name -> name.startsWith("_ingot")));
    check("primary key", () -> column(of.getPrimaryKeys(null, "silver", "vehicle_events"), "COLUMN_NAME").containsAll(List.of("id", "ts")));
    check("imported keys", () -> column(of.getImportedKeys(null, "silver", "vehicle_events"), "FKCOLUMN_NAME").isEmpty());
    check("keywords", () -> of.getSQLKeywords() != null);
    check("is valid", () -> connection.isValid(5));
  }

  static void statements(Connection connection) {
    check("parameters", () -> {
      try (PreparedStatement s = connection.prepareStatement("SELECT count(*) AS n FROM silver.vehicle_events WHERE type = ?")) {
        long sum = 0;
        for (String type : List.of("car", "bike", "scoot")) {
          s.setString(1, type);
          try (ResultSet rows = s.executeQuery()) {
            sum += rows.next() ? rows.getLong(1) : -1;
          }
        }
        return s.getParameterMetaData().getParameterCount() == 1 && sum == count(connection, "silver.vehicle_events");
      }
    });
    check("row limit", () -> {
      try (Statement s = connection.createStatement()) {
        s.setMaxRows(2);
        return column(s.executeQuery("SELECT id FROM bronze.vehicle_events"), "id").size() <= 2;
      }
    });
    check("an unknown table is named in the error", () -> {
      try (Statement s = connection.createStatement(); ResultSet rows = s.executeQuery("SELECT * FROM gold.nope")) {
        return false;
      } catch (SQLException e) {
        return e.getMessage().contains("nope");
      }
    });
    for (String sql : List.of("DELETE FROM gold.stats", "DROP TABLE gold.stats", "CREATE TABLE gold.x (a INT)")) {
      check("refused: " + sql, () -> {
        try (Statement s = connection.createStatement()) {
          s.execute(sql);
          return false;
        } catch (SQLException e) {
          return count(connection, "gold.stats") >= 0;      // and the connection goes on
        }
      });
    }
  }

  static long count(Connection connection, String table) throws SQLException {
    try (Statement s = connection.createStatement(); ResultSet rows = s.executeQuery("SELECT count(*) AS n FROM " + table)) {
      rows.next();
      return rows.getLong(1);
    }
  }

  public static void main(String[] args) throws Exception {
    try (Connection connection = DriverManager.getConnection(args[0])) {
      metadata(connection);
      statements(connection);
      for (String table : TABLES) System.out.println("count\t" + table + "\t" + count(connection, table));
      try (Statement s = connection.createStatement();
          ResultSet rows = s.executeQuery("SELECT type, total, avg_battery, max_lat FROM gold.stats ORDER BY type")) {
        while (rows.next()) {
          System.out.println("stats\t" + rows.getString(1) + "\t" + rows.getLong(2) + "\t" + bits(rows, 3) + "\t" + bits(rows, 4));
        }
      }
    }
    System.err.println("jdbc: " + passed + " passed, " + failed + " failed");
    if (failed > 0) System.exit(1);
  }
}
