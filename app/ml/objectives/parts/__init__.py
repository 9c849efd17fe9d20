"""What several objectives are made of: heads, views, what is hidden, what is drawn and how far it is off."""
