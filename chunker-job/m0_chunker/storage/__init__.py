"""The stores: where films come from and chunks go to. Their libraries' errors end here."""
