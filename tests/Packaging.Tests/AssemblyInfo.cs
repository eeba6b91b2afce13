using EdgeStream.Packaging.Tests;

// A machine with an init of its own each: one at a time.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
[assembly: AssemblyFixture(typeof(DebianSystem))]
