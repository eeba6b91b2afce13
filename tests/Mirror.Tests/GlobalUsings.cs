global using ErrorCode = EdgeStream.Protocol.V1.ErrorCode;
global using V1 = EdgeStream.Protocol.V1;
