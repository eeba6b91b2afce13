using System.Text.Json.Serialization;

namespace EdgeStream.Cluster.Engines.JetStream;

[JsonSerializable(typeof(Dictionary<string, string>))]
internal sealed partial class StateJson : JsonSerializerContext;
