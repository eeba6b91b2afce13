// The generated messages have the names of the cluster's own types, so files that need both name the former "V1.".
global using ErrorCode = EdgeStream.Protocol.V1.ErrorCode;
global using V1 = EdgeStream.Protocol.V1;
