"""The layers that encoders and objectives are built of, and how chains of them are computed."""
