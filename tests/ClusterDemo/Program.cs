using System.Globalization;
using EdgeStream.ClusterDemo;

TimeSpan? duration = Environment.GetEnvironmentVariable("DEMO_SECONDS") is { Length: > 0 } seconds
    ? TimeSpan.FromSeconds(double.Parse(seconds, CultureInfo.InvariantCulture))
    : null;
return await new ClusterShow(duration).RunAsync();
