// Creates, deletes and lists topics through Kafka's own client: Topic.java ADDRESS {list | create NAME N | delete NAME}
// The broker's artifacts on Maven Central hold the client but not the command line tools.

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.errors.TopicExistsException;

public class Topic {
  public static void main(String[] args) throws Exception {
    Map<String, Object> settings = Map.of(
        "bootstrap.servers", args[0], "default.api.timeout.ms", 20000, "request.timeout.ms", 10000);
    try (Admin admin = Admin.create(settings)) {
      switch (args[1]) {
        case "list" -> admin.listTopics().names().get().forEach(System.out::println);
        case "delete" -> admin.deleteTopics(List.of(args[2])).all().get();
        case "create" -> {
          try {
            NewTopic topic = new NewTopic(args[2], Optional.of(Integer.parseInt(args[3])), Optional.empty());
            admin.createTopics(List.of(topic)).all().get();
          } catch (ExecutionException e) {
            if (!(e.getCause() instanceof TopicExistsException)) throw e;
          }
        }
        default -> throw new IllegalArgumentException(args[1]);
      }
    }
  }
}
