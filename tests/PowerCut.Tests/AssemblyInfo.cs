// A power cut is a matter of moments, and each test keeps several threads of two programs busy: one at a time.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
