CREATE TABLE silver.kinds (kind STRING, wheels INT) FROM 'seeds/kinds.csv'
