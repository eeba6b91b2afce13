using System.Globalization;
using EdgeStream.Demo;

// The demo starts itself a second time as the sensor: a program of its own, with nothing but MQTT to the edge.
if (args is ["sensor", var port])
    return await Sensor.RunAsync(int.Parse(port, CultureInfo.InvariantCulture));

TimeSpan? duration = Environment.GetEnvironmentVariable("DEMO_SECONDS") is { Length: > 0 } seconds
    ? TimeSpan.FromSeconds(double.Parse(seconds, CultureInfo.InvariantCulture))
    : null;
return await new Show(duration).RunAsync();
