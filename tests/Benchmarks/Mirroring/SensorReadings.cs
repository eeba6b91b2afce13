using System.Globalization;
using System.Text;
using System.Text.Unicode;

namespace EdgeStream.Benchmarks.Mirroring;

/// <summary>What a device has told: a key that names it, and a value.</summary>
internal readonly record struct Reading(long Timestamp, byte[] Key, byte[] Value)
{
    /// <summary>Its payload: what bytes on the wire are compared with.</summary>
    public int PayloadBytes => Key.Length + Value.Length;
}

/// <summary>
/// Readings as sensors send them: JSON, each number on a walk of its own with some noise, time going on in uneven steps. The same
/// ones in each run.
/// </summary>
internal static class SensorReadings
{
    private const int Sensors = 200;
    private const long Start = 1_764_000_000_000;

    // So many sensors in one message of a gateway make 1 KiB.
    private const int SensorsInGateway = 10;

    /// <summary>One sensor a message; some 100 bytes with the key.</summary>
    public static IEnumerable<Reading> OfSensors(int count)
    {
        var random = new Random(17);
        Sensor[] sensors = [.. Enumerable.Range(0, Sensors).Select(n => new Sensor(n, random))];
        byte[] text = new byte[256];
        long now = Start;
        for (int i = 0; i < count; i++)
        {
            Sensor sensor = sensors[random.Next(Sensors)];
            now += random.Next(1, 20);
            sensor.Move(random);
            Utf8.TryWrite(
                text,
                $$"""{"ts":{{now}},"temp":{{sensor.Celsius:0.00}},"hum":{{sensor.Humidity:0.0}},"bat":{{sensor.Volts:0.000}},"rssi":{{sensor.Signal}},"ok":true}""",
                out int length);
            yield return new Reading(now, sensor.Key, text[..length]);
        }
    }

    /// <summary>A gateway that sends what several sensors have told since; some 1 KiB.</summary>
    public static IEnumerable<Reading> OfGateways(int count)
    {
        var random = new Random(18);
        Sensor[] sensors = [.. Enumerable.Range(0, Sensors).Select(n => new Sensor(n, random))];
        var text = new StringBuilder();
        long now = Start;
        for (int i = 0; i < count; i++)
        {
            int gateway = random.Next(Sensors / SensorsInGateway);
            now += random.Next(1, 200);
            text.Clear().Append(CultureInfo.InvariantCulture, $$"""{"gateway":"gw-{{gateway:000}}","readings":[""");
            foreach (Sensor sensor in sensors.AsSpan(gateway * SensorsInGateway, SensorsInGateway))
            {
                sensor.Move(random);
                text.Append(
                    CultureInfo.InvariantCulture,
                    $$"""{"id":"{{sensor.Name}}","ts":{{now - random.Next(1000)}},"temp":{{sensor.Celsius:0.00}},"hum":{{sensor.Humidity:0.0}},"bat":{{sensor.Volts:0.000}},"rssi":{{sensor.Signal}}},""");
            }

            text[^1] = ']';
            yield return new Reading(now, Encoding.ASCII.GetBytes($"gw-{gateway:000}"), Encoding.ASCII.GetBytes(text.Append('}').ToString()));
        }
    }

    /// <summary>Values that do not compress.</summary>
    public static IEnumerable<Reading> Incompressible(int count, int valueBytes)
    {
        var random = new Random(19);
        byte[] key = "camera-1"u8.ToArray();
        for (int i = 0; i < count; i++)
        {
            byte[] value = new byte[valueBytes];
            random.NextBytes(value);
            yield return new Reading(Start + i, key, value);
        }
    }

    private sealed class Sensor(int number, Random random)
    {
        private double _celsius = 15 + (random.NextDouble() * 10);
        private double _humidity = 35 + (random.NextDouble() * 30);
        private readonly int _signal = random.Next(-90, -40);

        public string Name { get; } = $"room-{number:000}";

        public byte[] Key { get; } = Encoding.ASCII.GetBytes($"room-{number:000}");

        public double Celsius { get; private set; }

        public double Humidity { get; private set; }

        public double Volts { get; private set; } = 3 + (random.NextDouble() * 0.7);

        public int Signal { get; private set; }

        public void Move(Random moves)
        {
            _celsius += (moves.NextDouble() - 0.5) * 0.1;
            _humidity += (moves.NextDouble() - 0.5) * 0.4;
            Celsius = Math.Round(_celsius + ((moves.NextDouble() - 0.5) * 0.06), 2);
            Humidity = Math.Round(_humidity + ((moves.NextDouble() - 0.5) * 0.4), 1);
            Volts = Math.Round(Volts - (moves.NextDouble() * 0.0001) + ((moves.NextDouble() - 0.5) * 0.004), 3);
            Signal = _signal + moves.Next(-3, 4);
        }
    }
}
