global using ErrorCode = EdgeStream.Protocol.V1.ErrorCode;
