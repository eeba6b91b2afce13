using k8s;
using k8s.Models;

namespace EdgeStream.Packaging.Tests.Helm;

/// <summary>The objects of a rendered chart. A field that Kubernetes does not know, or a type that it is not, is an error.</summary>
internal sealed class Rendered(string yaml)
{
    public IReadOnlyList<IKubernetesObject<V1ObjectMeta>> Objects { get; } =
        [.. KubernetesYaml.LoadAllFromString(yaml, typeMap: null, strict: true).Cast<IKubernetesObject<V1ObjectMeta>>()];

    public IEnumerable<T> All<T>() => Objects.OfType<T>();

    /// <summary>The only one of its type with a name.</summary>
    public T Named<T>(string name)
        where T : IKubernetesObject<V1ObjectMeta> => All<T>().Single(one => one.Metadata.Name == name);

    /// <summary>The set of the SCs or of the SPUs.</summary>
    public V1StatefulSet Set(string kind) => All<V1StatefulSet>().Single(set => set.Spec.Template.Spec.Containers.Single().Name == kind);

    /// <summary>The configuration file of the SCs or of the SPUs.</summary>
    public string Configuration(string kind) => All<V1ConfigMap>().Select(map => map.Data.TryGetValue(kind + ".toml", out string? text) ? text : null).Single(text => text is not null)!;
}
