// Each has a dozen processes, and what is measured is how soon they go on.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
