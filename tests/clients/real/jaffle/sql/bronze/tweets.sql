CREATE SOURCE tweets (id VARCHAR, user_id VARCHAR, tweeted_at TIMESTAMP, content VARCHAR)
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '${TWEETS}')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.tweets
ON DECODE ERROR INTO bronze.tweets_errors
AS SELECT * FROM STREAM tweets;
