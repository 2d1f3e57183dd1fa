import java.util.concurrent.TimeUnit;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hbase.HBaseConfiguration;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.Admin;
import org.apache.hadoop.hbase.client.ColumnFamilyDescriptor;
import org.apache.hadoop.hbase.client.ColumnFamilyDescriptorBuilder;
import org.apache.hadoop.hbase.client.Connection;
import org.apache.hadoop.hbase.client.ConnectionFactory;
import org.apache.hadoop.hbase.client.TableDescriptorBuilder;
import org.apache.hadoop.hbase.io.encoding.DataBlockEncoding;
import org.apache.hadoop.hbase.regionserver.BloomType;
import org.apache.hadoop.hbase.util.Bytes;

/** Makes the four tables of OpenTSDB; waits until HBase has a master and a region server. */
class CreateTables {
  public static void main(String[] ignored) throws Exception {
    Configuration configuration = HBaseConfiguration.create();
    try (Connection connection = ConnectionFactory.createConnection(configuration);
        Admin admin = connection.getAdmin()) {
      create(admin, "tsdb-uid", "id", "name");
      create(admin, "tsdb", "t");
      create(admin, "tsdb-tree", "t");
      create(admin, "tsdb-meta", "name");
    }
  }

  private static void create(Admin admin, String table, String... families) throws Exception {
    TableDescriptorBuilder builder = TableDescriptorBuilder.newBuilder(TableName.valueOf(table));
    for (String family : families) {
      ColumnFamilyDescriptor descriptor =
          ColumnFamilyDescriptorBuilder.newBuilder(Bytes.toBytes(family))
              .setMaxVersions(1)
              .setBloomFilterType(BloomType.ROW)
              .setDataBlockEncoding(DataBlockEncoding.DIFF)
              .build();
      builder.setColumnFamily(descriptor);
    }
    admin.createTableAsync(builder.build()).get(60, TimeUnit.SECONDS);
  }
}
